/* wire/smp_names.h - the numbers inside SMP commands, Core 5.4 Vol 3 Part H 3. */
#pragma once
#include <stdint.h>

enum smp_reason {				/* 3.5.5, Table 3.7 */
	SMP_REASON_PASSKEY_ENTRY_FAILED = 0x01,
	SMP_REASON_OOB_NOT_AVAILABLE = 0x02,
	SMP_REASON_AUTHENTICATION_REQUIREMENTS = 0x03,
	SMP_REASON_CONFIRM_VALUE_FAILED = 0x04,
	SMP_REASON_PAIRING_NOT_SUPPORTED = 0x05,
	SMP_REASON_ENCRYPTION_KEY_SIZE = 0x06,
	SMP_REASON_COMMAND_NOT_SUPPORTED = 0x07,
	SMP_REASON_UNSPECIFIED_REASON = 0x08,
	SMP_REASON_REPEATED_ATTEMPTS = 0x09,
	SMP_REASON_INVALID_PARAMETERS = 0x0A,
	SMP_REASON_DHKEY_CHECK_FAILED = 0x0B,
	SMP_REASON_NUMERIC_COMPARISON_FAILED = 0x0C,
	SMP_REASON_BR_EDR_PAIRING_IN_PROGRESS = 0x0D,
	SMP_REASON_CROSS_TRANSPORT_NOT_ALLOWED = 0x0E,	/* Cross-transport Key Derivation/Generation not allowed */
	SMP_REASON_KEY_REJECTED = 0x0F,
};

enum smp_io_capability {			/* 3.5.1, Table 3.4 */
	SMP_DISPLAY_ONLY = 0, SMP_DISPLAY_YES_NO = 1, SMP_KEYBOARD_ONLY = 2, SMP_NO_INPUT_NO_OUTPUT = 3, SMP_KEYBOARD_DISPLAY = 4,
};

enum smp_auth_req {				/* 3.5.1, Figure 3.3 */
	SMP_AUTH_BONDING = 0x01,		/* two bits; 2 and 3 are reserved */
	SMP_AUTH_MITM = 0x04,
	SMP_AUTH_SC = 0x08,
	SMP_AUTH_KEYPRESS = 0x10,
	SMP_AUTH_CT2 = 0x20,
};

enum smp_keys { SMP_KEY_ENC = 0x01, SMP_KEY_ID = 0x02, SMP_KEY_SIGN = 0x04, SMP_KEY_LINK = 0x08 };	/* 3.6.1 */

enum { SMP_KEY_SIZE_MIN = 7, SMP_KEY_SIZE_MAX = 16 };		/* 2.3.4 */

/* The reason's name as printed in Table 3.7; "reserved" if it has none. */
const char *smp_reason_name(uint8_t reason);
