"""The numbers and words of +CME ERROR (27.007 9.2) and +CMS ERROR (27.005 3.2.5). Left out: when they are given."""

from __future__ import annotations

from enum import IntEnum


class Cme(IntEnum):
    """What can be wrong with the equipment or the network."""

    NOT_ALLOWED = 3
    NOT_SUPPORTED = 4
    SIM_NOT_INSERTED = 10
    SIM_PIN_REQUIRED = 11
    SIM_PUK_REQUIRED = 12
    SIM_FAILURE = 13
    SIM_BUSY = 14
    INCORRECT_PASSWORD = 16
    MEMORY_FULL = 20
    INVALID_INDEX = 21
    NOT_FOUND = 22
    NO_NETWORK_SERVICE = 30
    NETWORK_TIMEOUT = 31
    INCORRECT_PARAMETERS = 50
    UNKNOWN = 100
    SERVICE_OPTION_NOT_SUBSCRIBED = 133


class Cms(IntEnum):
    """What can be wrong with a message."""

    UNASSIGNED_NUMBER = 1
    TRANSFER_REJECTED = 21
    NETWORK_OUT_OF_ORDER = 38
    TEMPORARY_FAILURE = 41
    CONGESTION = 42
    FACILITY_NOT_SUBSCRIBED = 50
    NOT_ALLOWED = 302
    NOT_SUPPORTED = 303
    INVALID_PDU = 304
    INVALID_TEXT = 305
    SIM_NOT_INSERTED = 310
    SIM_PIN_REQUIRED = 311
    SIM_FAILURE = 313
    SIM_BUSY = 314
    SIM_PUK_REQUIRED = 316
    INVALID_INDEX = 321
    MEMORY_FULL = 322
    SMSC_UNKNOWN = 330
    NO_NETWORK_SERVICE = 331
    NETWORK_TIMEOUT = 332
    UNKNOWN = 500


CME_TEXTS = {
    Cme.NOT_ALLOWED: "operation not allowed",
    Cme.NOT_SUPPORTED: "operation not supported",
    Cme.SIM_NOT_INSERTED: "SIM not inserted",
    Cme.SIM_PIN_REQUIRED: "SIM PIN required",
    Cme.SIM_PUK_REQUIRED: "SIM PUK required",
    Cme.SIM_FAILURE: "SIM failure",
    Cme.SIM_BUSY: "SIM busy",
    Cme.INCORRECT_PASSWORD: "incorrect password",
    Cme.MEMORY_FULL: "memory full",
    Cme.INVALID_INDEX: "invalid index",
    Cme.NOT_FOUND: "not found",
    Cme.NO_NETWORK_SERVICE: "no network service",
    Cme.NETWORK_TIMEOUT: "network timeout",
    Cme.INCORRECT_PARAMETERS: "incorrect parameters",
    Cme.UNKNOWN: "unknown",
    Cme.SERVICE_OPTION_NOT_SUBSCRIBED: "requested service option not subscribed",
}

CMS_TEXTS = {
    Cms.UNASSIGNED_NUMBER: "Unassigned number",
    Cms.TRANSFER_REJECTED: "Short message transfer rejected",
    Cms.NETWORK_OUT_OF_ORDER: "Network out of order",
    Cms.TEMPORARY_FAILURE: "Temporary failure",
    Cms.CONGESTION: "Congestion",
    Cms.FACILITY_NOT_SUBSCRIBED: "Requested facility not subscribed",
    Cms.NOT_ALLOWED: "operation not allowed",
    Cms.NOT_SUPPORTED: "operation not supported",
    Cms.INVALID_PDU: "invalid PDU mode parameter",
    Cms.INVALID_TEXT: "invalid text mode parameter",
    Cms.SIM_NOT_INSERTED: "SIM not inserted",
    Cms.SIM_PIN_REQUIRED: "SIM PIN required",
    Cms.SIM_FAILURE: "SIM failure",
    Cms.SIM_BUSY: "SIM busy",
    Cms.SIM_PUK_REQUIRED: "SIM PUK required",
    Cms.INVALID_INDEX: "invalid memory index",
    Cms.MEMORY_FULL: "memory full",
    Cms.SMSC_UNKNOWN: "SMSC address unknown",
    Cms.NO_NETWORK_SERVICE: "no network service",
    Cms.NETWORK_TIMEOUT: "network timeout",
    Cms.UNKNOWN: "unknown error",
}
