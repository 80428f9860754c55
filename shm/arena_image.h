/* shm/arena_image.h - an arena looked at as octets: is an image that came from a file sound, and what does it hold?
 *
 * For recordings and their replay (runtime/recording.h).  Nothing here changes an arena. */
#pragma once
#include "shm/arena.h"

/* Is a log of `len` octets one that may be taken back in an image of `image_len`: entries whole, all within the image, none over
 * the word? */
bool arena_log_sound(const uint8_t *log, uint32_t len, uint32_t image_len);

/* Is the committed state that `a` has mapped sound as far as the arena itself can tell: free lists, slots, live counts,
 * queues?  What the objects say to each other is their core's.  Returns "" or what is wrong (a static text). */
const char *arena_whole(const struct arena *a);

/* The layout hash that the arena was formatted with. */
uint64_t arena_formatted_for(const struct arena *a);

/* Octets that `plan` needs for its slots, in 64 bits: limits that came from a file may be anything. */
uint64_t arena_image_octets(const struct arena_plan *plan);

/* Hash of the committed state: pool heads, slots, objects, queued octets.  Left out: the word, and loose octets that are in no
 * queue: they belong to nobody, and a killed step may have left some.
 *
 * @scratch  a->log_at octets */
uint64_t arena_state_hash(const struct arena *a, uint8_t *scratch);

/* Hash of what the objects that this step has logged hold now; before arena_commit. */
uint64_t arena_changed_hash(const struct arena *a);
