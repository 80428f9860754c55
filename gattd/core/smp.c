/* gattd/core/smp.c - the Security Manager of a device that does not pair.  Core 5.4, Vol 3, Part H.
 *
 * A Pairing Request is answered with Pairing Failed, Pairing Not Supported; a code that is not defined with Command Not Supported
 * (3.3, 3.5.5).  Everything else belongs to a pairing that is not there, and gets no answer: nor does Pairing Failed, so that two
 * who refuse each other fall silent. */
#include "gattd/core/gatt.h"
#include "wire/l2cap_names.h"
#include "wire/smp_names.h"

static uint8_t reason_for(struct bytes pdu)
{
	struct smp_pairing_request m;
	uint8_t code = pdu.at[0];

	if (code == SMP_PAIRING_REQUEST)
		return smp_pairing_request_decode((struct bytes){ pdu.at + 1, pdu.len - 1 }, &m) ?
		    SMP_REASON_PAIRING_NOT_SUPPORTED : SMP_REASON_INVALID_PARAMETERS;
	return code == 0 || code > SMP_PAIRING_KEYPRESS_NOTIFICATION ? SMP_REASON_COMMAND_NOT_SUPPORTED : 0;
}

void smp_on_pdu(struct gatt *g, const struct bearer *b, struct bytes pdu)
{
	uint8_t reason;

	if (!pdu.len) {
		gatt_count(g, GATT_COUNT_pdus_empty);
		return;
	}
	reason = reason_for(pdu);
	if (!reason) {
		gatt_count(g, GATT_COUNT_unasked);
		return;
	}
	smp_pairing_failed_encode(&(struct smp_pairing_failed){ reason }, bearer_open_on(g, b, L2CAP_CID_SMP, SMP_PAIRING_FAILED));
	bearer_send(g, b);
	gatt_count(g, GATT_COUNT_smp_refused);
}
