/* wire/families.h - the list.  FAMILY_END says how strict a body's end is:
 * rd_done = not one byte more (ATT, SMP, L2CAP); rd_ok = extra bytes are
 * tolerated, as later versions may append (HCI events). */
#define FAMILY config
#define FAMILY_CODES CONFIG
#define FAMILY_DEF "wire/config.def"
#define FAMILY_END rd_done
#include "wire/family.h"

#define FAMILY request
#define FAMILY_CODES REQUEST
#define FAMILY_DEF "wire/request.def"
#define FAMILY_END rd_done
#include "wire/family.h"

#define FAMILY reply
#define FAMILY_CODES REPLY
#define FAMILY_DEF "wire/reply.def"
#define FAMILY_END rd_done
#include "wire/family.h"

#define FAMILY local
#define FAMILY_CODES LOCAL
#define FAMILY_DEF "wire/local.def"
#define FAMILY_END rd_done
#include "wire/family.h"

#define FAMILY hci_event
#define FAMILY_CODES HCI_EVENT
#define FAMILY_DEF "wire/hci_event.def"
#define FAMILY_END rd_ok
#include "wire/family.h"

#define FAMILY hci_le_event
#define FAMILY_CODES HCI_LE_EVENT
#define FAMILY_DEF "wire/hci_le_event.def"
#define FAMILY_END rd_ok
#include "wire/family.h"

#define FAMILY att
#define FAMILY_CODES ATT
#define FAMILY_DEF "wire/att.def"
#define FAMILY_END rd_done
#include "wire/family.h"

#define FAMILY hci_command
#define FAMILY_CODES HCI_COMMAND
#define FAMILY_DEF "wire/hci_command.def"
#define FAMILY_END rd_done
#include "wire/family.h"

#define FAMILY hci_return
#define FAMILY_CODES HCI_RETURN
#define FAMILY_DEF "wire/hci_return.def"
#define FAMILY_END rd_ok
#include "wire/family.h"

#define FAMILY l2cap_frame
#define FAMILY_CODES L2CAP_FRAME
#define FAMILY_DEF "wire/l2cap_frame.def"
#define FAMILY_END rd_done
#include "wire/family.h"

#define FAMILY l2cap
#define FAMILY_CODES L2CAP
#define FAMILY_DEF "wire/l2cap.def"
#define FAMILY_END rd_done
#include "wire/family.h"

#define FAMILY smp
#define FAMILY_CODES SMP
#define FAMILY_DEF "wire/smp.def"
#define FAMILY_END rd_done
#include "wire/family.h"
