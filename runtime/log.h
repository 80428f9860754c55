/* runtime/log.h - one line to stderr for each thing worth saying: event first, key=value after.
 *
 *   log_warn("acl dropped", LOG_HEX("handle", h), LOG_UINT("len", len), LOG_WHY("no link"));
 *   hostd: warn acl dropped handle=0x0040 len=27 why="no link"
 *
 * Guarantees: a line is one write(2) and at most LOG_LINE_MAX octets; untrusted text is quoted and escaped, so nobody can
 * forge a line or a field; errno is kept; safe in a sandboxed worker (write only).  Where stderr is the journal
 * ($JOURNAL_STREAM) lines carry its <N> priority, else the level's name.
 * Never to be handed: keys, passkeys, payloads; addresses of bonded peers only at debug.  For programs; wire/, shm/, proto/ and
 * the cores return and do not log. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };
enum { LOG_LINE_MAX = 1024 };
enum log_kind { LOG_NONE, LOG_K_UINT, LOG_K_INT, LOG_K_HEX, LOG_K_STR, LOG_K_ERRNO, LOG_K_ADDR };

struct log_field {
	enum log_kind kind;
	const char *name;
	union { uint64_t u; int64_t i; const void *p; };
	size_t len;
};
#define LOG_UINT(n, v) { .kind = LOG_K_UINT, .name = (n), .u = (uint64_t)(v) }
#define LOG_INT(n, v) { .kind = LOG_K_INT, .name = (n), .i = (int64_t)(v) }
#define LOG_HEX(n, v) { .kind = LOG_K_HEX, .name = (n), .u = (uint64_t)(v) }		/* 0x0040 */
#define LOG_STR(n, v) { .kind = LOG_K_STR, .name = (n), .p = (v), .len = SIZE_MAX }	/* NULL: - */
#define LOG_TEXT(n, at_, len_) { .kind = LOG_K_STR, .name = (n), .p = (at_), .len = (len_) }	/* not NUL-terminated */
#define LOG_WHY(v) LOG_STR("why", (v))
#define LOG_ERRNO(r) { .kind = LOG_K_ERRNO, .name = "errno", .i = (int64_t)(r) }	/* errno=2 why="No such .." */
#define LOG_ADDR(n, v) { .kind = LOG_K_ADDR, .name = (n), .p = (v) }		/* 6 octets, least significant first */

/* Before the first line: the program's name (borrowed for ever) and whether stderr is the journal.  Without it: "trefoil". */
void log_open(const char *name);
/* Error lines of this process so far: who passes a failure on can see whether its reason has been said. */
unsigned log_errors(void);
void log_set_level(enum log_level most);		/* default LOG_INFO */
enum log_level log_get_level(void);
bool log_level_from_text(const char *text, enum log_level *ret);	/* "error" "warn" "info" "debug" */
const char *log_level_text(enum log_level l);

void log_fields(enum log_level l, const char *event, const struct log_field *f, size_t count);
/* What log_fields would write, its newline included.  Returns its length, < cap. */
size_t log_line(char *buf, size_t cap, enum log_level l, const char *event, const struct log_field *f, size_t count);

#define LOG_AT(l, event, ...) \
	log_fields((l), (event), (const struct log_field[]){ { 0 }, ##__VA_ARGS__ }, \
	    sizeof((const struct log_field[]){ { 0 }, ##__VA_ARGS__ }) / sizeof(struct log_field))
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, ##__VA_ARGS__)
#define log_warn(event, ...) LOG_AT(LOG_WARN, event, ##__VA_ARGS__)
#define log_info(event, ...) LOG_AT(LOG_INFO, event, ##__VA_ARGS__)
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, ##__VA_ARGS__)
