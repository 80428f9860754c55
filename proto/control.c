/* proto/control.c - from a datagram to its handler, and a frame to a datagram. */
#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "proto/control.h"

struct rule { const char *name; unsigned least, most; };

/* How many descriptors a message may have, before its fields say more. */
static const struct rule *rule_find(unsigned body_case)
{
	static const struct rule rules[] = {
#define ROW(CASE, field, type, INIT, least, most) [CONTROL_CASE(CASE)] = { #type, least, most },
		CONTROL_MESSAGES(ROW)
#undef ROW
	};

	if (body_case >= sizeof rules / sizeof *rules || rules[body_case].name == NULL)
		return NULL;
	return &rules[body_case];
}

/* Is `count` the number of descriptors that belongs to this very frame? */
static bool fds_belong(const Frame *f, unsigned count)
{
	const struct rule *rule = rule_find(f->body_case);

	if (rule == NULL || count < rule->least || count > rule->most)
		return false;
	if (f->body_case == CONTROL_CASE(START))
		return count == f->start->n_fd_names;
	if (f->body_case == CONTROL_CASE(LINK_OFFER))
		return count == (f->link_offer->resume ? 0 : rule->most);
	return true;
}

bool control_frame_ok(const Frame *f, unsigned fd_count)
{
	return fds_belong(f, fd_count);
}

static int dispatch(const struct control_handlers *h, void *self, struct control_in *in)
{
	const Frame *f = in->frame;

	switch (f->body_case) {
#define ROW(CASE, field, type, INIT, least, most) \
	case CONTROL_CASE(CASE): return h->on_##field ? h->on_##field(self, in, f->field) : -EOPNOTSUPP;
	CONTROL_MESSAGES(ROW)
#undef ROW
	default:
		return -EOPNOTSUPP;
	}
}

/* An answer is not answered: two ends that both take nothing would talk for ever. */
static bool is_answer(const Frame *f)
{
	return f->body_case == CONTROL_CASE(FAILED) || f->body_case == CONTROL_CASE(DONE) ||
	    f->body_case == CONTROL_CASE(OPERATOR_REPLY) || f->body_case == CONTROL_CASE(STATUS) ||
	    f->body_case == CONTROL_CASE(STATISTICS);
}

static int refuse(struct control_in *in)
{
	const struct rule *rule = rule_find(in->frame->body_case);
	char why[64] = "this message is not known here";

	if (in->link == NULL)
		return -EOPNOTSUPP;
	in->link->refused++;
	if (is_answer(in->frame))
		return 0;
	if (rule) {
		strcpy(why, rule->name);
		strcat(why, " is not taken here");
	}
	return control_fail(in->link, in->frame->serial, -EOPNOTSUPP, why);
}

static int frame_check(const Frame *f, unsigned fd_count)
{
	/* A body with a number that we do not know comes from a later version of the protocol, and is answered; no body at all is
	 * no frame. */
	if (f->body_case == TREFOIL__CONTROL__V1__FRAME__BODY__NOT_SET)
		return f->base.n_unknown_fields && fd_count == 0 ? 0 : -EBADMSG;
	return fds_belong(f, fd_count) ? 0 : -EPROTO;
}

int on_control_frame(const struct control_handlers *h, void *self, struct control_in *in, struct bytes raw)
{
	Frame *f = NULL;
	int r;

	r = raw.len == 0 ? -EBADMSG : raw.len > CONTROL_FRAME_MAX ? -EMSGSIZE : 0;
	if (r)
		goto out;
	f = trefoil__control__v1__frame__unpack(NULL, raw.len, raw.at);
	r = f == NULL ? -EBADMSG : frame_check(f, in->fd_count);
	if (r)
		goto out;
	in->frame = f;
	r = dispatch(h, self, in);
	if (r == -EOPNOTSUPP)
		r = refuse(in);
	if (r > 0)		/* a handler has no outcomes of its own */
		r = err_raise(r);
out:
	control_close_fds(in->fds, in->fd_count);
	in->fd_count = 0;
	in->frame = NULL;
	if (f)
		trefoil__control__v1__frame__free_unpacked(f, NULL);
	return r;
}
