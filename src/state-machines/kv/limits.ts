/**
 * Limits that decide what a command does. They are the same on every server, and so are no options: a server that
 * drew the line elsewhere would come to another state from the same log.
 */

/** Comparisons and operations of one transaction, those of transactions within it included. */
export const TXN_OPERATIONS_MAX = 1000
/** Transactions within one another. */
export const TXN_DEPTH_MAX = 8
/** What a range within a transaction gives at most; it says when there was more. */
export const TXN_RANGE_ENTRIES_MAX = 10_000

/** The longest time to live of a lease and timeout of a session, in milliseconds: about a hundred years. */
export const TTL_MS_MAX = 100 * 366 * 24 * 3600 * 1000
/** Leases granted and not yet over. Times to live of single keys do not count. */
export const LEASES_MAX = 1_000_000
/** Leases, sessions and keys with a time to live of their own that one `expire` ends. */
export const EXPIRIES_MAX = 1000

/** Sessions open at a time. */
export const SESSIONS_MAX = 100_000
/** Results kept for one session: its calls that may be outstanding. */
export const SESSION_RESULTS_MAX = 4096
/** Bytes of those. One more result may exceed it. */
export const SESSION_RESULT_BYTES_MAX = 4 * 1024 * 1024
