/* The code of every row's _decode and _encode.  Cores link this: nothing here prints. */
#include "wire/wire.h"
#define WIRE_CODEC
/* On the packet path: every field's reader or writer is inlined, which the compiler leaves alone in a file of this size. */
#define WIRE_FLAT __attribute__((flatten))
#include "wire/families.h"
