/* tests/lib/stepper.h - a child that is stopped after each instruction, and which pages of its shared memory may have changed.
 *
 * A debug exception costs more than all that is done with it, so parent and child share one processor (stepper_pin), and only the
 * pages are compared that the child has touched since it last said stepper_pause: it has them read-only, and its handler of
 * SIGSEGV notes the page and opens it.  What the parent sees is exact: no octet changes but by an instruction of the child, or where it was
 * told that the kernel writes. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { STEPPER_PAGE = 4096, STEPPER_PAGES = 1024 };
enum stepped { STEPPED_NOTHING, STEPPED_CHANGE, STEPPED_PAUSE, STEPPED_CALL, STEPPED_END, STEPPED_ABORT };

struct stepper {
	pid_t pid;
	const uint8_t *at;		/* the memory, as the parent maps it */
	uint8_t *was;			/* owned: it, as last looked at */
	struct stepper_touched *touched;	/* shared with the child */
	unsigned long instructions;
	bool calls;			/* tell system calls apart: STEPPED_CALL after each */
};

/* This process, and the children that it makes from now on, run on one processor.  Does nothing where that is refused. */
void stepper_pin(void);

/* Starts a child that maps the memory and calls body(at, ctx); returns in the parent with it stopped before the first instruction.
 * @at, @octets  the memory as the parent maps it, whole pages    @map  the child's own mapping of it */
void stepper_start(struct stepper *p, const uint8_t *at, size_t octets, uint8_t *(*map)(void *ctx),
    void (*body)(uint8_t *at, void *ctx), void *ctx);
/* In the child: what is to be done before the stepping starts, then this. */
void stepper_ready(void);
/* In the child, before stepper_ready: octets of the memory that the kernel writes to in a system call.  They are not watched: what it
 * does to them is over with the call, which can be told apart. */
void stepper_kernel_writes(const uint8_t *at, size_t octets);
/* In the child: stop until the parent goes on; the pages are read-only again. */
void stepper_pause(void);

/* One instruction.  CHANGE: the memory is another than after the last one.  PAUSE: the child asks for something.  CALL: an
 * instruction that was a system call is over (and may have changed the memory as well).  END: it has left with 0; ABORT: not so. */
enum stepped stepper_step(struct stepper *p);
/* On to the end of the next system call (those of the stepper itself do not count): CALL, END or ABORT. */
enum stepped stepper_to_call(struct stepper *p);
/* The parent has changed the memory itself, while the child pauses. */
void stepper_look(struct stepper *p);
/* SIGKILL, and wait.  May be called after END. */
void stepper_stop(struct stepper *p);
