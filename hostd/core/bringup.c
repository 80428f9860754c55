/* hostd/core/bringup.c - what the controller is told and asked before it is used: one row a step. */
#include "hostd/core/host.h"
#include "wire/hci_error.h"
#include "wire/hci_packet.h"

/* A step's answer was not what can be worked with; passed on as the status of the notice. */
enum { REFUSED_SHORT = 0x100, REFUSED_BUFFERS = 0x101, REFUSED_LE = 0x102, REFUSED_ENTROPY = 0x103 };

struct bringup_step {
	uint16_t opcode;
	uint8_t octet, bit;			/* in Supported Commands */
	bool required;				/* asked whatever the controller says that it supports; its refusal is final */
	const char *name;
	bool (*wanted)(const struct host *h);	/* NULL: always */
	void (*encode)(struct host *h, struct wr *w);	/* NULL: no parameters */
	uint32_t (*on_return)(struct host *h, struct bytes ret);	/* 0, or why it is refused; NULL: nothing to keep */
};

bool controller_supports(const struct controller *c, unsigned octet, unsigned bit)
{
	return c->commands[octet] >> bit & 1;
}
static struct controller *controller_change(struct host *h) { return controller_edit(h->arena, the_controller(h)); }

static uint32_t on_version(struct host *h, struct bytes ret)
{
	struct hci_return_read_local_version_information m;
	struct controller *c = controller_change(h);

	if (!hci_return_read_local_version_information_decode(ret, &m))
		return REFUSED_SHORT;
	c->hci_version = m.hci_version;
	c->lmp_version = m.lmp_version;
	c->company = m.company;
	c->hci_subversion = m.hci_subversion;
	c->lmp_subversion = m.lmp_subversion;
	return 0;
}
static uint32_t on_commands(struct host *h, struct bytes ret)
{
	struct hci_return_read_local_supported_commands m;

	if (!hci_return_read_local_supported_commands_decode(ret, &m))
		return REFUSED_SHORT;
	memcpy(controller_change(h)->commands, m.commands, sizeof m.commands);
	return 0;
}
enum { FEATURE_BR_EDR_NOT_SUPPORTED = 37, FEATURE_LE_SUPPORTED = 38 };		/* Vol 2 Part C 3.3 */
static bool feature(const struct host *h, unsigned bit) { return the_controller(h)->features >> bit & 1; }
static uint32_t on_features(struct host *h, struct bytes ret)
{
	struct hci_return_read_local_supported_features m;

	if (!hci_return_read_local_supported_features_decode(ret, &m))
		return REFUSED_SHORT;
	controller_change(h)->features = m.features;
	return feature(h, FEATURE_LE_SUPPORTED) ? 0 : REFUSED_LE;
}
static uint32_t on_address(struct host *h, struct bytes ret)
{
	struct hci_return_read_bd_addr m;

	if (!hci_return_read_bd_addr_decode(ret, &m))
		return REFUSED_SHORT;
	memcpy(controller_change(h)->address, m.address, 6);
	return 0;
}

/* 7.8.2: no packets here means that LE shares the buffers of Read Buffer Size. */
static uint32_t set_buffers(struct host *h, uint16_t length, uint16_t packets)
{
	struct flow *f = flow_change(h);

	f->acl_length = length < FRAME_MAX ? length : FRAME_MAX;	/* a longer fragment has no use: no frame is longer */
	f->credits = f->total = packets;
	return 0;
}
static uint32_t on_le_buffers(struct host *h, struct bytes ret)
{
	struct hci_return_le_read_buffer_size m;

	if (!hci_return_le_read_buffer_size_decode(ret, &m))
		return REFUSED_SHORT;
	return m.acl_length && m.acl_packets ? set_buffers(h, m.acl_length, m.acl_packets) : 0;
}
static bool no_le_buffers(const struct host *h) { return !the_flow(h)->total; }
static uint32_t on_buffers(struct host *h, struct bytes ret)
{
	struct hci_return_read_buffer_size m;

	if (!hci_return_read_buffer_size_decode(ret, &m))
		return REFUSED_SHORT;
	return m.acl_length && m.acl_packets ? set_buffers(h, m.acl_length, m.acl_packets) : REFUSED_BUFFERS;
}
static uint32_t on_le_features(struct host *h, struct bytes ret)
{
	struct hci_return_le_read_local_supported_features m;

	if (!hci_return_le_read_local_supported_features_decode(ret, &m))
		return REFUSED_SHORT;
	controller_change(h)->le_features = m.features;
	return 0;
}

static void encode_event_mask(struct host *h, struct wr *w)
{
	/* 7.3.1: Disconnection Complete, Encryption Change, Read Remote Version, Hardware Error, Data Buffer Overflow,
	 * Encryption Key Refresh Complete, LE Meta. */
	uint64_t mask = 1ull << 4 | 1ull << 7 | 1ull << 11 | 1ull << 15 | 1ull << 25 | 1ull << 47 | 1ull << 61;

	(void)h;
	hci_command_set_event_mask_encode(&(struct hci_command_set_event_mask){ mask }, w);
}
enum { LE_FEATURE_PARAMETER_REQUEST = 1, LE_FEATURE_DATA_LENGTH = 5, LE_FEATURE_PRIVACY = 6 };	/* Vol 6 Part B 4.6 */
static bool le_feature(const struct host *h, unsigned bit) { return the_controller(h)->le_features >> bit & 1; }
static void encode_le_event_mask(struct host *h, struct wr *w)
{
	const struct controller *c = the_controller(h);
	/* 7.8.1: Connection Complete, Connection Update Complete, Read Remote Features, Long Term Key Request. */
	uint64_t mask = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4;

	/* Asked for only where both answers exist: else the controller answers by itself. */
	if (le_feature(h, LE_FEATURE_PARAMETER_REQUEST) && controller_supports(c, 33, 4) && controller_supports(c, 33, 5))
		mask |= 1 << 5;
	if (le_feature(h, LE_FEATURE_DATA_LENGTH))
		mask |= 1 << 6;
	if (le_feature(h, LE_FEATURE_PRIVACY))
		mask |= 1 << 9;
	hci_command_le_set_event_mask_encode(&(struct hci_command_le_set_event_mask){ mask }, w);
}
static bool host_support_wanted(const struct host *h) { return !feature(h, FEATURE_BR_EDR_NOT_SUPPORTED); }
static void encode_host_support(struct host *h, struct wr *w)
{
	(void)h;
	hci_command_write_le_host_support_encode(&(struct hci_command_write_le_host_support){ 1, 0 }, w);
}
static bool data_length_wanted(const struct host *h) { return le_feature(h, LE_FEATURE_DATA_LENGTH); }
static void encode_data_length(struct host *h, struct wr *w)
{
	(void)h;
	hci_command_le_write_suggested_default_data_length_encode(
	    &(struct hci_command_le_write_suggested_default_data_length){ 0x00FB, 0x0848 }, w);
}

/* Our address: the file's, else the controller's public one, else (it has none) a static random one of our own making. */
static bool random_wanted(const struct host *h)
{
	static const uint8_t none[6];
	const struct settings *s = the_settings(h);

	return s->address_given ? s->address_type == ADDRESS_RANDOM : !memcmp(the_controller(h)->address, none, 6);
}
static void encode_random_address(struct host *h, struct wr *w)
{
	const struct settings *s = the_settings(h);
	struct controller *c = controller_change(h);

	c->own_type = ADDRESS_RANDOM;
	if (s->address_given) {
		memcpy(c->own, s->address, 6);
	} else if (!c->own_made && entropy_take(h->arena, c->own, 6)) {
		c->own[5] |= 0xC0;	/* Vol 6 Part B 1.3.2.1 */
		c->own_made = 1;
	}
	wr_bytes(w, (struct bytes){ c->own, 6 });
}
static uint32_t on_random_address(struct host *h, struct bytes ret)
{
	(void)ret;
	return the_settings(h)->address_given || the_controller(h)->own_made ? 0 : REFUSED_ENTROPY;
}

#define STEP(NAME, octet, bit, required, wanted, encode, on_return) \
	{ HCI_COMMAND_##NAME, octet, bit, required, #NAME, wanted, encode, on_return },
static const struct bringup_step steps[] = {
	STEP(RESET,                               5, 7, true,  NULL, NULL, NULL)
	STEP(READ_LOCAL_VERSION_INFORMATION,     14, 3, true,  NULL, NULL, on_version)
	STEP(READ_LOCAL_SUPPORTED_COMMANDS,      14, 4, true,  NULL, NULL, on_commands)
	STEP(READ_LOCAL_SUPPORTED_FEATURES,      14, 5, true,  NULL, NULL, on_features)
	STEP(READ_BD_ADDR,                       15, 1, true,  NULL, NULL, on_address)
	STEP(SET_EVENT_MASK,                      5, 6, true,  NULL, encode_event_mask, NULL)
	STEP(WRITE_LE_HOST_SUPPORT,              24, 6, false, host_support_wanted, encode_host_support, NULL)
	STEP(LE_READ_BUFFER_SIZE,                25, 1, true,  NULL, NULL, on_le_buffers)
	STEP(READ_BUFFER_SIZE,                   14, 7, true,  no_le_buffers, NULL, on_buffers)
	STEP(LE_READ_LOCAL_SUPPORTED_FEATURES,   25, 2, true,  NULL, NULL, on_le_features)
	STEP(LE_SET_EVENT_MASK,                  25, 0, true,  NULL, encode_le_event_mask, NULL)
	STEP(LE_WRITE_SUGGESTED_DEFAULT_DATA_LENGTH, 34, 0, false, data_length_wanted, encode_data_length, NULL)
	STEP(LE_SET_RANDOM_ADDRESS,              25, 4, true,  random_wanted, encode_random_address, on_random_address)
};
#undef STEP

const char *bringup_step_name(const struct host *h)
{
	unsigned step = the_radio(h)->step;

	return step < ARRAY_LEN(steps) ? steps[step].name : "controller";
}

static void done(struct host *h)
{
	struct controller *c = controller_change(h);
	struct radio *r = radio_change(h);

	if (!random_wanted(h)) {
		c->own_type = ADDRESS_PUBLIC;
		memcpy(c->own, c->address, 6);
		if (the_settings(h)->address_given && memcmp(c->address, the_settings(h)->address, 6))
			notice(h, NOTICE_EVENT, 0, "public address is the controller's, not the configured one", "");
	}
	r->state = HOST_UP;
	r->up_since_ns = h->now_ns;
	r->step = 0;
	r->ready_told = 0;
	r->todo = 1;
	h->control = true;
}

/* Send the first step from `from` on that applies. */
static void begin(struct host *h, unsigned from)
{
	uint8_t buf[COMMAND_MAX];
	struct wr w = wr_into(buf, sizeof buf);

	for (; from < ARRAY_LEN(steps); from++) {
		const struct bringup_step *s = &steps[from];

		if ((s->required || controller_supports(the_controller(h), s->octet, s->bit)) && (!s->wanted || s->wanted(h)))
			break;
	}
	if (from == ARRAY_LEN(steps)) {
		done(h);
		return;
	}
	radio_change(h)->step = (uint8_t)from;
	if (steps[from].encode)
		steps[from].encode(h, &w);
	hci_send(h, steps[from].opcode, &w);
}

void bringup_start(struct host *h)
{
	struct controller *c = controller_change(h);
	struct controller kept = *c;
	struct flow *f = flow_change(h);

	*c = (struct controller){ .own_made = kept.own_made };
	if (kept.own_made)
		memcpy(c->own, kept.own, sizeof c->own);
	f->credits = f->total = 0;
	hci_reset_queue(h);
	advertising_reset(h);
	radio_change(h)->state = HOST_BRINGING_UP;
	begin(h, 0);
}

static const char *refusal(uint32_t status)
{
	switch (status) {
	case REFUSED_SHORT: return "its answer is too short";
	case REFUSED_BUFFERS: return "it has no buffers for ACL data";
	case REFUSED_LE: return "it does not support LE";
	case REFUSED_ENTROPY: return "no entropy for an address";
	default: return "it was refused";
	}
}

bool bringup_on_return(struct host *h, uint16_t opcode, struct bytes ret)
{
	const struct radio *r = the_radio(h);
	const struct bringup_step *s = &steps[r->step];
	uint32_t status = ret.len ? ret.at[0] : REFUSED_SHORT;

	if (r->state != HOST_BRINGING_UP || s->opcode != opcode)
		return false;
	if (!status && s->on_return)
		status = s->on_return(h, ret);
	if (status && s->required)
		host_fail(h, (uint32_t)r->step << 16 | status, s->name, refusal(status));
	else
		begin(h, r->step + 1u);
	return true;
}
