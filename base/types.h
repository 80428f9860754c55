/* base/types.h - facts that every floor shares: addresses, transports, roles, small helpers. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Core 5.4, Vol 4, Part E, 7.8.5: address types as HCI names them. */
enum address_type { ADDRESS_PUBLIC = 0x00, ADDRESS_RANDOM = 0x01, ADDRESS_PUBLIC_IDENTITY = 0x02, ADDRESS_RANDOM_IDENTITY = 0x03 };
enum transport_kind { TRANSPORT_LE = 0, TRANSPORT_BR_EDR = 1 };	/* of a connection */
enum role { ROLE_CENTRAL = 0x00, ROLE_PERIPHERAL = 0x01 };	/* Core 5.4, Vol 4, Part E, 7.7.65.1 */

enum { CONNECTION_HANDLE_MAX = 0x0EFF };	/* Core 5.4, Vol 4, Part E, 5.4.2 */

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))
#define MIN(a, b) ({ __typeof__(a) min_a_ = (a); __typeof__(b) min_b_ = (b); min_a_ < min_b_ ? min_a_ : min_b_; })
#define MAX(a, b) ({ __typeof__(a) max_a_ = (a); __typeof__(b) max_b_ = (b); max_a_ > max_b_ ? max_a_ : max_b_; })
