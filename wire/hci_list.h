/* wire/hci_list.h - the lists inside HCI messages.  The count comes from the other side: it is checked against the octets
 * that are there, and no iterator reads past them.
 *
 *	struct hci_completed_list list;
 *	struct hci_completed c;
 *
 *	if (!hci_completed_open(event.count, event.items, &list))
 *		return;					// the count is above the body: the whole event is dropped
 *	while (hci_completed_next(&list, &c))
 *		...
 */
#pragma once
#include "base/bytes.h"
#include "wire/wire.h"

/* Core 5.4, Vol 4, Part E, 7.7.19 (to the host) and 7.3.40 (to the controller).  The upper four bits of a handle are reserved. */
struct hci_completed { uint16_t handle, count; };
struct hci_completed_list { struct rd r; uint8_t left; };

/* @items: borrowed while the list is in use.  Returns false if it is not exactly `count` pairs long: drop the whole message. */
static inline bool hci_completed_open(uint8_t count, struct bytes items, struct hci_completed_list *ret)
{
	*ret = (struct hci_completed_list){ rd_from(items), count };
	return items.len == (size_t)count * 4;
}
/* The next pair; false at the end. */
static inline bool hci_completed_next(struct hci_completed_list *list, struct hci_completed *ret)
{
	if (!list->left)
		return false;
	list->left--;
	ret->handle = (uint16_t)rd_le(&list->r, 2) & 0x0FFF;
	ret->count = (uint16_t)rd_le(&list->r, 2);
	return rd_ok(&list->r);
}
/* Appends one pair. */
static inline void hci_completed_add(struct wr *w, struct hci_completed c)
{
	wr_le(w, c.handle, 2);
	wr_le(w, c.count, 2);
}

/* Core 5.4, Vol 4, Part E, 7.7.65.2. */
enum hci_report_type {
	HCI_REPORT_ADV_IND = 0, HCI_REPORT_ADV_DIRECT_IND = 1, HCI_REPORT_ADV_SCAN_IND = 2, HCI_REPORT_ADV_NONCONN_IND = 3,
	HCI_REPORT_SCAN_RSP = 4,
};
enum { HCI_REPORT_RSSI_NONE = 127 };	/* rssi: not available */

struct hci_report { uint8_t type, address_type, address[6]; struct bytes data; int8_t rssi; };
struct hci_report_list { struct rd r; uint8_t left; };

/* @event: its reports are borrowed while the list is in use. */
static inline struct hci_report_list hci_report_open(const struct hci_le_event_advertising_report *event)
{
	return (struct hci_report_list){ rd_from(event->reports), event->count };
}
/* The next report; false at the end, which is the packet's end at the latest.  A report that is cut, or whose data is
 * longer than the 31 octets of legacy advertising, is not handed out, and list->r is then bad: count it, keep the ones before. */
static inline bool hci_report_next(struct hci_report_list *list, struct hci_report *ret)
{
	struct rd *r = &list->r;

	if (!list->left || !rd_ok(r))
		return false;
	list->left--;
	ret->type = (uint8_t)rd_le(r, 1);
	ret->address_type = (uint8_t)rd_le(r, 1);
	rd_copy(r, ret->address, 6);
	ret->data = rd_take(r, (size_t)rd_le_in(r, 1, 0, 31));
	ret->rssi = (int8_t)rd_le(r, 1);
	return rd_ok(r);
}
/* Appends one report.  @report: at most 31 octets of data, else w turns bad. */
static inline void hci_report_add(struct wr *w, const struct hci_report *report)
{
	w->bad |= report->data.len > 31;
	wr_le(w, report->type, 1);
	wr_le(w, report->address_type, 1);
	wr_bytes(w, (struct bytes){ report->address, 6 });
	wr_le(w, report->data.len, 1);
	wr_bytes(w, report->data);
	wr_le(w, (uint8_t)report->rssi, 1);
}
