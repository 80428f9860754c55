/* wire/att_list.h - reads and writes the lists in ATT responses, Core 5.4 Vol 3 Part F 3.4.
 *
 * Reading: each _next takes a struct rd over the list.  It returns false at the end, and on an entry that is cut; rd_done(r)
 * then tells a whole list (true) from a malformed one (false).  Nothing is read past the list.
 *
 * Writing: entries of one response all have the same length, which the first one sets.  Each _add returns false, and writes
 * nothing, once an entry has another length or finds no room: the response ends there.  The first value is cut to the room
 * and to the largest that the one-octet length field can say, and is then the only one; later ones are never cut.
 *
 *	struct att_list list = att_list_into(buf, mtu - 2);	// without opcode and length (or format) octet
 *
 *	while (next attribute && att_list_add_group(&list, first, last, value))
 *		;
 *	att_read_by_group_type_response_encode(&(struct att_read_by_group_type_response){
 *	    list.each, att_list_bytes(&list) }, &w);
 */
#pragma once
#include "base/bytes.h"

struct att_information { uint16_t handle; struct bytes type; };		/* 3.4.3.2; type: 2 or 16 octets */
struct att_range { uint16_t first, last; };				/* 3.4.3.4 */
struct att_value { uint16_t handle; struct bytes value; };		/* 3.4.4.2, 3.4.7.4 */
struct att_group { uint16_t first, last; struct bytes value; };		/* 3.4.4.10 */

enum { ATT_FORMAT_16 = 1, ATT_FORMAT_128 = 2 };				/* 3.4.3.2 */
enum { ATT_ENTRY_MAX = 255 };						/* what a one-octet length can say */

bool att_information_next(struct rd *r, uint8_t format, struct att_information *ret);
bool att_range_next(struct rd *r, struct att_range *ret);
bool att_value_next(struct rd *r, uint8_t length, struct att_value *ret);		/* length: as in the response */
bool att_group_next(struct rd *r, uint8_t length, struct att_group *ret);
bool att_handle_next(struct rd *r, uint16_t *ret);					/* 3.4.4.7, 3.4.4.11 */
/* Length, value: 3.4.4.12.  The last value of the response may be cut at the MTU; it is handed out as far as it goes, with
 * *ret_cut set.  A cut length field ends the list without an entry. */
bool att_variable_next(struct rd *r, struct bytes *ret_value, bool *ret_cut);
/* Handle, length, value: 3.4.7.4.  Nothing may be cut. */
bool att_multiple_next(struct rd *r, struct att_value *ret);

struct att_list { struct wr w; uint8_t each; };		/* each: length of every entry, 0 while there is none */

/* @buf, @cap: where the list is written, borrowed; cap is the room in the PDU. */
static inline struct att_list att_list_into(uint8_t *buf, size_t cap) { return (struct att_list){ wr_into(buf, cap), 0 }; }
static inline struct bytes att_list_bytes(const struct att_list *l) { return (struct bytes){ l->w.start, wr_len(&l->w) }; }
static inline bool att_list_empty(const struct att_list *l) { return !l->each; }

bool att_list_add_information(struct att_list *l, uint16_t handle, struct bytes type);
bool att_list_add_range(struct att_list *l, uint16_t first, uint16_t last);
bool att_list_add_value(struct att_list *l, uint16_t handle, struct bytes value);
bool att_list_add_group(struct att_list *l, uint16_t first, uint16_t last, struct bytes value);
/* These two set no common length.  add_variable cuts the value (never its length field) at the room and then takes no more;
 * false if not even the length field fits, or an earlier value was cut. */
bool att_list_add_variable(struct att_list *l, struct bytes value);
bool att_list_add_multiple(struct att_list *l, uint16_t handle, struct bytes value);
