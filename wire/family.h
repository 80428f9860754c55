/* wire/family.h - expands one .def into enum, structs and prototypes, or into their code.
 *
 * Set FAMILY, FAMILY_CODES, FAMILY_DEF and FAMILY_END first, as families.h does for each family.  No guard on purpose.
 *   default        enum, structs, prototypes (wire.h)
 *   WIRE_CODEC     _decode and _encode (codec.c): no library function but mem*, so that cores can link it
 *   WIRE_TABLES    _print, the table of all rows and _find (tables.c): printing, tests, fuzz seeds */
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define F(x) CAT(FAMILY, x)
#define FC(x) CAT(FAMILY_CODES, x)

#if defined WIRE_CODEC
#define WIRE_PASS_DECODE
#include "wire/fields.h"
#define MESSAGE(code, NAME, name, spec, fields, example) \
	WIRE_FLAT bool F(_##name##_decode)(struct bytes body, struct F(_##name) *m) \
	{ struct rd r = rd_from(body); (void)m; fields return FAMILY_END(&r); }
#include FAMILY_DEF
#undef MESSAGE
#define WIRE_PASS_ENCODE
#include "wire/fields.h"
#define MESSAGE(code, NAME, name, spec, fields, example) \
	WIRE_FLAT void F(_##name##_encode)(const struct F(_##name) *m, struct wr *w) { (void)m; (void)w; fields }
#include FAMILY_DEF
#undef MESSAGE

#elif defined WIRE_TABLES
#define WIRE_PASS_PRINT
#include "wire/fields.h"
#define MESSAGE(code, NAME, name, spec, fields, example) \
	void F(_##name##_print)(const struct F(_##name) *m, struct text *t) { (void)m; (void)t; fields }
#include FAMILY_DEF
#undef MESSAGE
#define MESSAGE(code, NAME, name, spec, fields, example) \
	static bool F(_##name##_show)(struct bytes body, struct text *t) \
	{ \
		struct F(_##name) m; \
		if (!F(_##name##_decode)(body, &m)) return false; \
		F(_##name##_print)(&m, t); \
		return true; \
	} \
	static bool F(_##name##_replay)(struct bytes body, struct wr *out, struct text *t) \
	{ \
		struct F(_##name) m; \
		if (!F(_##name##_decode)(body, &m)) return false; \
		F(_##name##_encode)(&m, out); \
		F(_##name##_print)(&m, t); \
		return true; \
	}
#include FAMILY_DEF
#undef MESSAGE
const struct wire_message F(_messages)[] = {
#define MESSAGE(code, NAME, name, spec, fields, example) { code, #name, spec, example, F(_##name##_replay), F(_##name##_show) },
#include FAMILY_DEF
#undef MESSAGE
	{ 0, NULL, NULL, NULL, NULL, NULL }
};
const struct wire_message *F(_find)(unsigned code)	/* a switch: two rows with one code do not compile */
{
	enum {
#define MESSAGE(code, NAME, name, spec, fields, example) AT_##NAME,
#include FAMILY_DEF
#undef MESSAGE
	};
	switch (code) {
#define MESSAGE(code, NAME, name, spec, fields, example) case code: return &F(_messages)[AT_##NAME];
#include FAMILY_DEF
#undef MESSAGE
	default: return NULL;
	}
}

#else
enum FAMILY {
#define MESSAGE(code, NAME, name, spec, fields, example) FC(_##NAME) = code,
#include FAMILY_DEF
#undef MESSAGE
};
#define WIRE_PASS_STRUCT
#include "wire/fields.h"
#define MESSAGE(code, NAME, name, spec, fields, example) \
	struct F(_##name) { fields }; \
	bool F(_##name##_decode)(struct bytes body, struct F(_##name) *m); \
	void F(_##name##_encode)(const struct F(_##name) *m, struct wr *w); \
	void F(_##name##_print)(const struct F(_##name) *m, struct text *t);
#include FAMILY_DEF
#undef MESSAGE
extern const struct wire_message F(_messages)[];	/* every row, .def order, ends at a NULL name */
const struct wire_message *F(_find)(unsigned code);	/* NULL if no row */
#endif
#undef F
#undef FC
#undef CAT
#undef CAT_
#undef FAMILY
#undef FAMILY_CODES
#undef FAMILY_DEF
#undef FAMILY_END
