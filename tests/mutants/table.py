"""The mistakes that somebody will make, one by one, and who catches each (docs: the step and the arena).

A row names a place in our sources by its exact text, what a mistake would write there, and the catcher that has to fail on it:

    compiler    refuses the file
    shadow      a commit that is compared with its own rollback, while the cores play their stories
    walk        death at each instruction of the mill, and of its recoveries
    octets      the same with a memcpy that stops after each octet
    replay      two builds that differ in what lies on the stack, at two addresses, in two batch sizes: the same octets
    check-core  no .data, no .bss, no call out of a core
    streams     SIGKILL between the system calls of transportd's streams
    fence       publishing and going to sleep at once, on two processors

A text that is no longer in the source is an error: say it anew, or say why the mistake cannot be made any more.
"""
from dataclasses import dataclass


@dataclass
class Mutant:
    name: str
    catcher: str
    file: str
    old: str = ""           # "": a compiler flag alone
    new: str = ""
    flag: str = ""
    says: str = ""          # expected of the catcher, where it is more than the catcher's own words


# Caught by nobody, and not planted: the fence only has to be there (a compiler that moves the store is not at hand).
UNCATCHABLE = ("shm/undo.c", "	atomic_signal_fence(memory_order_seq_cst);\n")

LAUNDERED = "(struct value *)(uintptr_t)value_at(g, attribute)"
# The entries of the log, from the last to the first: each lies at [rest, len).
EACH_ENTRY = """	for (uint32_t len = (uint32_t)w, rest; len; len = rest) {
		struct undo_footer f;

		memcpy(&f, a->at + a->log_at + len - sizeof f, sizeof f);
		rest = len - (uint32_t)sizeof f - (f.kind == UNDO_OLD ? round_up(f.len, 8) : 0);
"""

MUTANTS = [
    # ---- the compiler
    Mutant("write_through_a_view", "compiler", "gattd/core/att.c",
           "	e->mtu_exchanged = 1;", "	b->mtu_exchanged = 1;", says="read-only"),
    Mutant("wrong_id", "compiler", "gattd/core/gatt.h",
           "value_view(g->arena, (struct value_id){", "value_view(g->arena, (struct attribute_id){", says="incompatible type"),
    Mutant("padding_in_state", "compiler", "shm/step.h",
           "generation[STEP_LINKS + 1]", "generation[STEP_LINKS]", says="padding"),
    Mutant("cast_of_const", "compiler", "gattd/core/change.c",
           "value_edit(g->arena, value_at(g, attribute))", "(struct value *)value_at(g, attribute)", says="discards .const"),

    # ---- the shadow check
    Mutant("edit_without_log", "shadow", "gattd/core/change.c",
           "value_edit(g->arena, value_at(g, attribute))", LAUNDERED),
    Mutant("logged_after_the_change", "shadow", "gattd/core/change.c",
           "value_edit(g->arena, value_at(g, attribute));",
           LAUNDERED + ";\n\n	v->len = (uint16_t)value.len;\n	value_edit(g->arena, v);"),
    Mutant("pointer_kept_across_steps", "shadow", "gattd/core/change.c",
           "	struct value *v = value_edit(g->arena, value_at(g, attribute));",
           "	static struct value *kept[512];\n	struct value *v = kept[attribute];\n\n"
           "	if (!v)\n		v = kept[attribute] = value_edit(g->arena, value_at(g, attribute));"),
    Mutant("stale_stamps", "shadow", "shm/undo.c",
           "	a->epoch++;\n	undo_tell(a);\n	undo_begin(a);", "	a->epoch++;\n	undo_tell(a);"),
    Mutant("queue_overwritten", "shadow", "shm/fifo.c",
           "if (needed && (ahead < needed || ahead + n > cap))", "if (0 && (ahead < needed || ahead + n > cap))"),
    Mutant("queue_counted_by_position", "shadow", "shm/fifo.c",
           "ahead = (q->tail - was.head) & (cap - 1);", "ahead = q->tail - was.head;"),
    Mutant("pool_head_not_logged", "shadow", "shm/arena.c",
           "	undo_put(a, UNDO_OLD, a->pool[pool].head, sizeof *h);\n	if (a->stamp", "	if (a->stamp"),
    Mutant("new_object_not_cleared", "shadow", "shm/arena.c",
           "		undo_put(a, UNDO_ZERO, off + sizeof *s, a->pool[pool].is.logged);\n", ""),
    Mutant("slot_head_not_logged", "shadow", "shm/arena.c",
           "		undo_put(a, UNDO_OLD, off, sizeof *s);\n", ""),
    Mutant("entropy_drawn_without_log", "shadow", "shm/step.c",
           "	struct entropy *e = entropy_edit(a, entropy_only(a));\n\n	return fifo_pop",
           "	struct entropy *e = (struct entropy *)(uintptr_t)entropy_only(a);\n\n	return fifo_pop"),
    Mutant("log_cut_short", "shadow", "shm/undo.c",
           "memcpy(image + f.where, log + (len -= round_up(f.len, 8)), f.len);",
           "memcpy(image + f.where, log + (len -= round_up(f.len, 8)), f.len > 64 ? 64 : f.len);"),

    # ---- order and recovery: the kill walk only
    Mutant("length_before_old_octets", "walk", "shm/undo.c",
           "	if (kind == UNDO_OLD)\n		memcpy(a->at + a->log_at",
           "	atomic_store(a->word, (uint64_t)a->epoch << 32 | (a->log_len + old + sizeof(struct undo_footer)));\n"
           "	if (kind == UNDO_OLD)\n		memcpy(a->at + a->log_at",
           says="after recovery|Segmentation fault"),        # rubbish in the log may send a recovery anywhere
    Mutant("change_before_length", "walk", "shm/undo.c",
           "sizeof(struct arena_slot) + logged);\n	undo_tell(a);", "sizeof(struct arena_slot) + logged);"),
    Mutant("new_object_before_length", "walk", "shm/arena.c",
           "	undo_tell(a);\n	*h = (struct pool_head){ s->next, h->live + 1 };\n",
           "	*h = (struct pool_head){ s->next, h->live + 1 };\n	atomic_signal_fence(memory_order_seq_cst);\n	undo_tell(a);\n"),
    Mutant("freed_before_length", "walk", "shm/arena.c",
           "	undo_tell(a);\n	s = (struct arena_slot *)arena_edit",
           "	h->live--;\n	atomic_signal_fence(memory_order_seq_cst);\n	undo_tell(a);\n	h->live++;\n"
           "	s = (struct arena_slot *)arena_edit"),
    Mutant("queue_octets_before_length", "octets", "shm/fifo.c",
           "		undo_tell(a);\n	}\n	memcpy(octets + from, src, first);",
           "	}\n	memcpy(octets + from, src, first);"),
    Mutant("published_before_commit", "walk", "shm/step.c",
           "	arena_commit(s->arena);\n",
           "	for (unsigned l = 0; l < STEP_LINKS; l++)\n		if (s->link[l].generation && !(s->fresh & 1u << l))\n"
           "			publish(&s->link[l]);\n	arena_commit(s->arena);\n"),
    Mutant("record_shown_at_once", "walk", "shm/step.c",
           "	ring_push(&s->link[l].out, h);\n", "	ring_push(&s->link[l].out, h);\n	ring_publish(&s->link[l].out);\n"),
    Mutant("positions_in_a_second_commit", "walk", "shm/step.c",
           "	p = positions_edit(s->arena, positions(s));\n	for (unsigned l = 0; l < STEP_LINKS; l++)\n		if (s->link[l].gen",
           "	arena_commit(s->arena);\n	p = positions_edit(s->arena, positions(s));\n"
           "	for (unsigned l = 0; l < STEP_LINKS; l++)\n		if (s->link[l].gen"),
    Mutant("commit_in_two_stores", "walk", "shm/undo.c",
           "	a->log_len = 0;\n	a->epoch++;\n	undo_tell(a);", "	a->epoch++;\n	undo_tell(a);\n	a->log_len = 0;\n	undo_tell(a);"),
    Mutant("no_recovery", "walk", "shm/undo.c", flag="-DTREFOIL_NO_RECOVERY"),
    Mutant("log_emptied_before_it_is_taken_back", "walk", "shm/undo.c",
           "#ifndef TREFOIL_NO_RECOVERY",
           "	a->log_len = 0;\n	undo_tell(a);\n#ifndef TREFOIL_NO_RECOVERY"),
    Mutant("recovery_eats_its_log", "walk", "shm/undo.c",
           "	undo_take_back(a->at, a->at + a->log_at, (uint32_t)w);\n",
           "	undo_take_back(a->at, a->at + a->log_at, (uint32_t)w);\n	memset(a->at + a->log_at, 0, (uint32_t)w);\n"),
    Mutant("log_shortened_before_it_is_taken_back", "walk", "shm/undo.c",
           "	undo_take_back(a->at, a->at + a->log_at, (uint32_t)w);\n", EACH_ENTRY + """
		a->log_len = rest;
		undo_tell(a);
		undo_take_back(a->at, a->at + a->log_at + rest, len - rest);
	}
"""),
    Mutant("taken_back_oldest_last", "walk", "shm/undo.c",
           "	undo_take_back(a->at, a->at + a->log_at, (uint32_t)w);\n", "	uint32_t place[4096], n = 0;\n" + EACH_ENTRY + """
		place[n++] = len;
	}
	for (uint32_t from = 0; n--; from = place[n])
		undo_take_back(a->at, a->at + a->log_at + from, place[n] - from);
"""),
    Mutant("not_shown_again", "walk", "shm/step.c",
           "	publish(&s->link[l]);		/* shown again", "	/* not shown again"),
    Mutant("attached_where_the_tail_was_shown", "walk", "shm/step.c",
           "same ? p->out_tail[l] : 0)", "same ? atomic_load(&mine->tail.pos) : 0)"),
    Mutant("attached_where_the_head_was_shown", "walk", "shm/step.c",
           "same ? p->in_head[l] : 0)", "same ? atomic_load(&mine->head.pos) : 0)"),
    Mutant("input_position_forgotten", "walk", "shm/step.c",
           "			p->in_head[l] = s->link[l].in.at;\n", ""),

    # ---- the two-build replay
    Mutant("stack_dirt", "replay", "hostd/core/hci.c",
           "	p = (struct pending){\n		.deadline_ns = h->now_ns + COMMAND_DEADLINE_NS,\n"
           "		.opcode = (uint16_t)(header[0] | header[1] << 8),\n	};",
           "	p.deadline_ns = h->now_ns + COMMAND_DEADLINE_NS;\n	p.opcode = (uint16_t)(header[0] | header[1] << 8);"),
    Mutant("pointer_in_state", "replay", "shm/step.c",
           "	arena_commit(s->arena);\n",
           "	p->generation[STEP_LINKS] = (uint32_t)((uintptr_t)s->arena->at >> 12);\n	arena_commit(s->arena);\n"),
    Mutant("epoch_in_state", "replay", "shm/step.c",
           "	arena_commit(s->arena);\n", "	p->generation[STEP_LINKS] = s->arena->epoch;\n	arena_commit(s->arena);\n"),
    Mutant("pointer_in_output", "replay", "shm/step.c",
           "	if (!h.time_ns)\n		h.time_ns = s->now_ns;", "	if (!h.time_ns)\n		h.time_ns = (uintptr_t)s->arena->at;"),

    # ---- the core check
    Mutant("static_in_the_core", "check-core", "gattd/core/change.c",
           "	struct value *v = value_edit(", "	static volatile unsigned calls;\n	struct value *v = (calls++, value_edit)(",
           says="state lives in the arena"),
    Mutant("clock_in_the_core", "check-core", "hostd/core/hci.c",
           "	count(h, COUNT_commands);",
           "	count(h, COUNT_commands);\n	extern long time(long *);\n	h->now_ns += (unsigned long)time(0);",
           says="calls time"),

    # ---- the doorbells' fences: a fence for the compiler alone is not enough
    Mutant("no_fence_behind_the_tail", "fence", "shm/ring.h",
           "	atomic_thread_fence(memory_order_seq_cst);	/* our position before its wait word",
           "	atomic_signal_fence(memory_order_seq_cst);	/* our position before its wait word"),
    Mutant("no_fence_behind_the_wait_word", "fence", "shm/ring.h",
           "	atomic_thread_fence(memory_order_seq_cst);	/* our wait word before its tail */",
           "	atomic_signal_fence(memory_order_seq_cst);	/* our wait word before its tail */"),

    # ---- transportd's windows
    Mutant("read_not_counted", "streams", "transportd/stream_in.c", "	l->in_octets += b->octets;\n", ""),
    Mutant("found_and_not_counted", "streams", "transportd/stream_in.c", "	line_change(t->step)->in_octets += more;\n", ""),
    Mutant("read_over_what_is_held", "streams", "transportd/stream_in.c", "{ stream_held(t) + l->held.tail, stream_room", "{ stream_held(t), stream_room"),
    Mutant("held_moved_before_the_commit", "streams", "transportd/stream_in.c",
           "(struct fifo){ b->at, b->tail };\n",
           "(struct fifo){ 0, b->tail - b->at };\n	memmove(stream_held(t), stream_held(t) + b->at, b->tail - b->at);\n"
           "	memset(stream_held(t) + b->tail - b->at, 0, b->at);\n"),
    Mutant("window_out_not_entered", "streams", "transportd/stream_out.c", "	line_change(t->step)->out_pending = used;\n", ""),
    Mutant("pipe_not_emptied", "streams", "transportd/stream_out.c", "		return pipe_empty(t);", "		return 0;"),
]
