/* What the numbers are called: tables of names, as printed in Core 5.4.  Strings only, so that cores can link it. */
#include "base/types.h"
#include "wire/att_error.h"
#include "wire/hci_error.h"
#include "wire/smp_names.h"

static const char *const hci_names[] = {		/* Vol 1 Part F 1.3 */
	[0x00] = "Success",
	[0x01] = "Unknown HCI Command",
	[0x02] = "Unknown Connection Identifier",
	[0x03] = "Hardware Failure",
	[0x04] = "Page Timeout",
	[0x05] = "Authentication Failure",
	[0x06] = "PIN or Key Missing",
	[0x07] = "Memory Capacity Exceeded",
	[0x08] = "Connection Timeout",
	[0x09] = "Connection Limit Exceeded",
	[0x0A] = "Synchronous Connection Limit To A Device Exceeded",
	[0x0B] = "Connection Already Exists",
	[0x0C] = "Command Disallowed",
	[0x0D] = "Connection Rejected due to Limited Resources",
	[0x0E] = "Connection Rejected Due To Security Reasons",
	[0x0F] = "Connection Rejected due to Unacceptable BD_ADDR",
	[0x10] = "Connection Accept Timeout Exceeded",
	[0x11] = "Unsupported Feature or Parameter Value",
	[0x12] = "Invalid HCI Command Parameters",
	[0x13] = "Remote User Terminated Connection",
	[0x14] = "Remote Device Terminated Connection due to Low Resources",
	[0x15] = "Remote Device Terminated Connection due to Power Off",
	[0x16] = "Connection Terminated By Local Host",
	[0x17] = "Repeated Attempts",
	[0x18] = "Pairing Not Allowed",
	[0x19] = "Unknown LMP PDU",
	[0x1A] = "Unsupported Remote Feature",
	[0x1B] = "SCO Offset Rejected",
	[0x1C] = "SCO Interval Rejected",
	[0x1D] = "SCO Air Mode Rejected",
	[0x1E] = "Invalid LMP Parameters / Invalid LL Parameters",
	[0x1F] = "Unspecified Error",
	[0x20] = "Unsupported LMP Parameter Value / Unsupported LL Parameter Value",
	[0x21] = "Role Change Not Allowed",
	[0x22] = "LMP Response Timeout / LL Response Timeout",
	[0x23] = "LMP Error Transaction Collision / LL Procedure Collision",
	[0x24] = "LMP PDU Not Allowed",
	[0x25] = "Encryption Mode Not Acceptable",
	[0x26] = "Link Key cannot be Changed",
	[0x27] = "Requested QoS Not Supported",
	[0x28] = "Instant Passed",
	[0x29] = "Pairing With Unit Key Not Supported",
	[0x2A] = "Different Transaction Collision",
	[0x2C] = "QoS Unacceptable Parameter",
	[0x2D] = "QoS Rejected",
	[0x2E] = "Channel Classification Not Supported",
	[0x2F] = "Insufficient Security",
	[0x30] = "Parameter Out Of Mandatory Range",
	[0x32] = "Role Switch Pending",
	[0x34] = "Reserved Slot Violation",
	[0x35] = "Role Switch Failed",
	[0x36] = "Extended Inquiry Response Too Large",
	[0x37] = "Secure Simple Pairing Not Supported By Host",
	[0x38] = "Host Busy - Pairing",
	[0x39] = "Connection Rejected due to No Suitable Channel Found",
	[0x3A] = "Controller Busy",
	[0x3B] = "Unacceptable Connection Parameters",
	[0x3C] = "Advertising Timeout",
	[0x3D] = "Connection Terminated due to MIC Failure",
	[0x3E] = "Connection Failed to be Established / Synchronization Timeout",
	[0x40] = "Coarse Clock Adjustment Rejected but Will Try to Adjust Using Clock Dragging",
	[0x41] = "Type0 Submap Not Defined",
	[0x42] = "Unknown Advertising Identifier",
	[0x43] = "Limit Reached",
	[0x44] = "Operation Cancelled by Host",
	[0x45] = "Packet Too Long",
	[0x46] = "Too Late",
	[0x47] = "Too Early",
};

static const char *const att_names[] = {		/* Vol 3 Part F 3.4.1.1, Table 3.4 */
	[0x01] = "Invalid Handle",
	[0x02] = "Read Not Permitted",
	[0x03] = "Write Not Permitted",
	[0x04] = "Invalid PDU",
	[0x05] = "Insufficient Authentication",
	[0x06] = "Request Not Supported",
	[0x07] = "Invalid Offset",
	[0x08] = "Insufficient Authorization",
	[0x09] = "Prepare Queue Full",
	[0x0A] = "Attribute Not Found",
	[0x0B] = "Attribute Not Long",
	[0x0C] = "Encryption Key Size Too Short",
	[0x0D] = "Invalid Attribute Value Length",
	[0x0E] = "Unlikely Error",
	[0x0F] = "Insufficient Encryption",
	[0x10] = "Unsupported Group Type",
	[0x11] = "Insufficient Resources",
	[0x12] = "Database Out Of Sync",
	[0x13] = "Value Not Allowed",
};

static const char *const att_common_names[] = {		/* Supplement, Part B: from 0xFC */
	"Write Request Rejected",
	"Client Characteristic Configuration Descriptor Improperly Configured",
	"Procedure Already in Progress",
	"Out of Range",
};

static const char *const smp_names[] = {		/* Vol 3 Part H 3.5.5, Table 3.7 */
	[0x01] = "Passkey Entry Failed",
	[0x02] = "OOB Not Available",
	[0x03] = "Authentication Requirements",
	[0x04] = "Confirm Value Failed",
	[0x05] = "Pairing Not Supported",
	[0x06] = "Encryption Key Size",
	[0x07] = "Command Not Supported",
	[0x08] = "Unspecified Reason",
	[0x09] = "Repeated Attempts",
	[0x0A] = "Invalid Parameters",
	[0x0B] = "DHKey Check Failed",
	[0x0C] = "Numeric Comparison Failed",
	[0x0D] = "BR/EDR Pairing in progress",
	[0x0E] = "Cross-transport Key Derivation/Generation not allowed",
	[0x0F] = "Key Rejected",
};

static const char *name_at(const char *const *names, size_t count, size_t i)
{
	return i < count && names[i] ? names[i] : "reserved";
}

const char *hci_error_name(uint8_t error)
{
	return name_at(hci_names, ARRAY_LEN(hci_names), error);
}

const char *att_error_name(uint8_t error)
{
	if (error >= ATT_ERROR_WRITE_REQUEST_REJECTED)
		return att_common_names[error - ATT_ERROR_WRITE_REQUEST_REJECTED];
	if (error >= ATT_ERROR_APPLICATION_FIRST && error <= ATT_ERROR_APPLICATION_LAST)
		return "application error";
	return name_at(att_names, ARRAY_LEN(att_names), error);
}

const char *smp_reason_name(uint8_t reason)
{
	return name_at(smp_names, ARRAY_LEN(smp_names), reason);
}
