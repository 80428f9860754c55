/* runtime/sandbox_own.h - inside of the sandbox: sandbox.c and sandbox_seccomp.c only. */
#pragma once
#include "runtime/sandbox.h"

/* Is this build made with a sanitizer, which needs more system calls? */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANDBOX_LOOSE 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANDBOX_LOOSE 1
#endif
#endif
#ifndef SANDBOX_LOOSE
#define SANDBOX_LOOSE 0
#endif

int sandbox_seccomp(const struct sandbox_plan *p);
