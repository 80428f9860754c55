#include "wire/ad.h"

bool ad_next(struct rd *r, struct ad *ret)
{
	size_t len;
	struct bytes body;

	if (!rd_ok(r) || !rd_left(r))
		return false;
	len = (size_t)rd_le(r, 1);
	if (!len) {			/* early termination: Vol 3 Part C 11 */
		r->at = r->end;
		return false;
	}
	body = rd_take(r, len);
	if (!rd_ok(r))
		return false;
	ret->type = body.at[0];
	ret->data = (struct bytes){ body.at + 1, body.len - 1 };
	return true;
}

bool ad_find(struct bytes data, uint8_t type, struct bytes *ret)
{
	struct rd r = rd_from(data);

	for (struct ad ad; ad_next(&r, &ad); )
		if (ad.type == type) {
			*ret = ad.data;
			return true;
		}
	return false;
}

bool ad_add(struct wr *w, uint8_t type, struct bytes data)
{
	if (!wr_ok(w) || data.len > 254 || (size_t)(w->end - w->at) < data.len + 2)
		return false;
	wr_le(w, data.len + 1, 1);
	wr_le(w, type, 1);
	wr_bytes(w, data);
	return true;
}

bool ad_valid_legacy(struct bytes data)
{
	struct rd r = rd_from(data);

	if (data.len > AD_LEGACY_MAX)
		return false;
	while (rd_left(&r) && *r.at)
		if (!ad_next(&r, &(struct ad){ 0 }))
			return false;
	while (rd_left(&r))
		if (rd_le(&r, 1))
			return false;
	return true;
}
