import { ActorumError } from './errors.js'
import { type Member, SERVER_ID_MAX, type ServerId } from './machines/types.js'

/**
 * Every tunable of an engine. Names end in their unit: `Ms` milliseconds, `Bytes…` bytes. All are checked once, by
 * `validateOptions`; a wrong or unknown one is refused with INVALID_ARGUMENT.
 */
export interface EngineOptions {
  /** Directory, on a local disk, of this server's log, vote and snapshots. Made when missing; one engine at a time. */
  readonly dataDir: string
  /** This server's id, 1 to 2^32 − 1. Never given to another server. Default 1. */
  readonly id?: ServerId | undefined
  /**
   * `host:port` (IPv6: `[host]:port`) where this server listens for its peers. Needed with more than one member. Where
   * they reach it elsewhere, as with 0.0.0.0, its entry in `members` says where. Default: none.
   */
  readonly listen?: string | undefined
  /**
   * The cluster as it first starts, this server included; later the log rules. This server's own entry says where peers
   * reach it, if not at `listen`. At most 64. Default: this server alone.
   */
  readonly members?: readonly { readonly id: ServerId; readonly address: string }[] | undefined
  /**
   * Addresses of servers of a running cluster, for a server with an empty directory that shall join it: it enters as a
   * learner and catches up. Later the log rules. `members` may then name this server alone. Default: none.
   */
  readonly join?: readonly string[] | undefined
  /** What a joining server shall be: `promotable` to a voter once it has caught up, or `readOnly`. Default `promotable`. */
  readonly joinAs?: 'promotable' | 'readOnly' | undefined
  /** Servers of another cluster are refused. 1 to 128 printable ASCII characters. Default: made by the first leader. */
  readonly clusterId?: string | undefined

  /**
   * When a write counts: `disk-first` once synced; `mem-first` once handed to the operating system, so that a machine's
   * crash may lose its last `syncIntervalMs`. Default `disk-first`.
   */
  readonly durability?: 'disk-first' | 'mem-first' | undefined
  /** Between background syncs of `mem-first`. 1 to 60,000, default 100. */
  readonly syncIntervalMs?: number | undefined
  /**
   * What keeps the log: `file` segment files, `level` a LevelDB. A directory stays with the one that made it: given,
   * this must be that one. Default: the directory's own, and `file` for a new one.
   */
  readonly logStore?: 'file' | 'level' | undefined

  /** T: a follower that hears from no leader for a time drawn in [T, 2T) campaigns. 10 to 600,000, default 1,000. */
  readonly electionTimeoutMs?: number | undefined
  /** Between a leader's heartbeats: at most a third of `electionTimeoutMs`. 1 to 200,000, default 100. */
  readonly heartbeatIntervalMs?: number | undefined
  /**
   * From −1 to 1: where in [T, 2T) this server draws its election timeouts, and so how likely it is to lead. 0: anywhere;
   * 1: in the earlier half; −1: in the later half. A preference, which never delays an election beyond 2T. Default 0.
   */
  readonly electionPriority?: number | undefined
  /**
   * How much faster one server's clock may run than another's: leader leases end that much early. 1 to 50, default 10.
   */
  readonly clockDriftBoundPercent?: number | undefined
  /**
   * Whether `linearizable` reads ask a quorum, or trust a leader's lease and so the clocks' rates. Default `quorum`.
   */
  readonly linearizableReads?: 'quorum' | 'lease' | undefined

  /** How long a call waits unless it says otherwise. 1 to 2^31 − 1, default 5,000. */
  readonly requestTimeoutMs?: number | undefined
  /**
   * Whether a follower hands its clients' calls to the leader; if not, NOT_LEADER names the leader. Changes of the
   * membership are handed on all the same. Default true.
   */
  readonly forwardToLeader?: boolean | undefined
  /** Longest key. 1 to 1 MiB, default 64 KiB. The same on all servers. */
  readonly keyBytesMax?: number | undefined
  /** Longest value. 1 to 64 MiB, default 1 MiB. The same on all servers. */
  readonly valueBytesMax?: number | undefined
  /**
   * Longest command, such as a transaction; one on a single key may always be as long as `keyBytesMax` and
   * `valueBytesMax` allow. 1 KiB to 128 MiB, default 4 MiB. The same on all servers.
   */
  readonly requestBytesMax?: number | undefined
  /** Past changes of keys that can still be read and watched from here. 0 to 10,000,000, default 100,000. */
  readonly historyEntriesMax?: number | undefined
  /** Bytes of their keys and values. 0 to 4 GiB − 1, default 32 MiB. */
  readonly historyBytesMax?: number | undefined
  /** How long they are kept, in milliseconds of cluster time. 0 to 2^53 − 1, default 600,000. */
  readonly historyAgeMsMax?: number | undefined
  /** Proposals of this server's clients without an outcome; more are BUSY. 1 to 10,000,000, default 100,000. */
  readonly pendingProposalsMax?: number | undefined
  /** Bytes of those proposals; more are BUSY. 1 KiB to 4 GiB − 1, default 64 MiB. */
  readonly pendingBytesMax?: number | undefined
  /** Reads of this server's clients without an outcome; more are BUSY. 1 to 10,000,000, default 100,000. */
  readonly pendingReadsMax?: number | undefined

  /**
   * Commands proposed together, in one run of entries; one longer command is a run by itself. 1 KiB to 16 MiB, default
   * 512 KiB.
   */
  readonly runBytesMax?: number | undefined
  /** One AppendEntries; one longer run goes by itself. 1 KiB to 64 MiB, default 1 MiB. */
  readonly appendBytesMax?: number | undefined
  /** AppendEntries unanswered at one peer. 1 to 10,000, default 64. */
  readonly inflightAppendsMax?: number | undefined
  /** Bytes of those. 1 KiB to 1 GiB, default 8 MiB. */
  readonly inflightBytesMax?: number | undefined
  /**
   * Bytes of entries a leader takes in from other servers' clients beyond the committed ones; more are BUSY. 1 KiB to
   * 4 GiB − 1, default 64 MiB.
   */
  readonly uncommittedBytesMax?: number | undefined
  /**
   * Memory for entries that followers who are a little behind may still need, their objects included (about 400 bytes a
   * batch). 0 to 4 GiB − 1, default 16 MiB.
   */
  readonly logTailBytesMax?: number | undefined
  /** A snapshot is taken once so many entries were applied since the last one. 0: never. 0 to 2^53 − 1, default 1,000,000. */
  readonly snapshotEntries?: number | undefined
  /**
   * Or so many bytes of entries, and four times as many as the last snapshot has. 0: never. 0 to 2^53 − 1, default 256
   * MiB.
   */
  readonly snapshotLogBytes?: number | undefined
  /** Or so many milliseconds have passed and anything was applied. 0: never. 0 to 2^31 − 1, default 0. */
  readonly snapshotIntervalMs?: number | undefined
  /** Entries before the newest snapshot that stay in the log for followers that are behind. 0 to 2^53 − 1, default 10,000. */
  readonly logEntriesKept?: number | undefined
  /** One piece of a snapshot on its way to a follower. 1 KiB to 16 MiB, default 256 KiB. */
  readonly snapshotChunkBytes?: number | undefined
  /** Pieces unanswered at one follower. 1 to 1,000, default 4. */
  readonly snapshotWindowChunks?: number | undefined
  /** Bytes of snapshots a second to all followers together. 0: no bound. 0 to 2^53 − 1, default 0. */
  readonly snapshotBytesPerSecond?: number | undefined

  /** A promotable learner votes once it is no more than so many entries behind. 0 to 10,000,000, default 1,000. */
  readonly promotionLagEntries?: number | undefined
  /** And has been for so long. 0 to 600,000, default 1,000. */
  readonly promotionAfterMs?: number | undefined

  /**
   * Bytes waiting in one connection; what comes beyond is dropped and sent again later. 1 KiB to 4 GiB − 1, default 32
   * MiB.
   */
  readonly outboxBytesMax?: number | undefined
  /** First pause before a peer is dialled again; it doubles. 1 to 60,000, default 50. */
  readonly reconnectDelayMsMin?: number | undefined
  /** Longest such pause. 1 to 600,000, default 2,000. */
  readonly reconnectDelayMsMax?: number | undefined

  /** A write to the log that takes longer makes this server `degraded`: SLOW_DISK. 10 to 600,000, default 500. */
  readonly slowDiskMs?: number | undefined
  /** So does a timer that comes later than this: EVENT_LOOP_STALLED. 10 to 600,000, default 500. */
  readonly stalledLoopMs?: number | undefined
  /**
   * So does less free space on the disk of `dataDir` than this: LOW_DISK. 0: not watched. 0 to 2^53 − 1, default 64 MiB.
   */
  readonly lowDiskBytes?: number | undefined
  /**
   * Whether a leader that has suffered from any of these for two election timeouts hands leadership over, where a quorum
   * of the others is within reach and one of them has all that is committed. Default true.
   */
  readonly handOverWhenUnhealthy?: boolean | undefined

  /** Where notices for people go. Default: warnings and errors to `console.warn`, the rest nowhere. */
  readonly log?: ((notice: Notice) => void) | undefined
}

/** Something a person should know: a refused stranger, a log that was cut, a stopped server. */
export interface Notice {
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
}

/** The options as the engine uses them: every one present and within its bounds. */
export type ResolvedOptions = {
  readonly [Name in keyof EngineOptions]-?: Name extends 'listen' | 'clusterId' | 'join' | 'logStore'
    ? EngineOptions[Name]
    : NonNullable<EngineOptions[Name]>
} & {
  /** A lone server without `listen` has the address '': nobody dials it. */
  readonly members: readonly Member[]
}

const KIB = 1024
const MIB = 1024 * KIB
const UINT32_MAX = 0xffff_ffff
const TIMER_MS_MAX = 0x7fff_ffff
const COUNT_MAX = 10_000_000
/** In `members`, and in `join`. */
const NAMED_SERVERS_MAX = 64
/** More than a command on one key needs beside key and values. */
const COMMAND_OVERHEAD_BYTES = 64
/** More than an entry and its run need beside the command. */
const RUN_OVERHEAD_BYTES = 192

/** An option's default, and what it must be as far as a given value is not. */
interface Rule<Value> {
  readonly fallback: Value
  readonly fault: (value: unknown) => string | undefined
}

const LOG_STORE = oneOf('file', 'level')

/** A new option needs its line in `EngineOptions` and its line here. */
const RULES: { readonly [Name in keyof EngineOptions]-?: Rule<EngineOptions[Name] | undefined> } = {
  dataDir: must(undefined, 'the path of a directory', isPath),
  id: integer(1, 1, SERVER_ID_MAX),
  listen: must(
    undefined,
    'host:port, such as 127.0.0.1:9081 or [::1]:9081',
    (value) => value === undefined || isAddress(value),
  ),
  members: { fallback: undefined, fault: (value) => (value === undefined ? undefined : faultOfMembers(value)) },
  join: must(undefined, `a list of 1 to ${NAMED_SERVERS_MAX} addresses host:port`, (value) => {
    return value === undefined || isAddressList(value)
  }),
  joinAs: oneOf('promotable', 'readOnly'),
  clusterId: must(
    undefined,
    '1 to 128 printable ASCII characters without spaces',
    (value) => value === undefined || isClusterId(value),
  ),
  durability: oneOf('disk-first', 'mem-first'),
  syncIntervalMs: integer(100, 1, 60_000),
  logStore: { fallback: undefined, fault: (value) => (value === undefined ? undefined : LOG_STORE.fault(value)) },
  electionTimeoutMs: integer(1000, 10, 600_000),
  heartbeatIntervalMs: integer(100, 1, 200_000),
  electionPriority: must(0, 'a number from -1 to 1', (value) => {
    return typeof value === 'number' && value >= -1 && value <= 1
  }),
  clockDriftBoundPercent: integer(10, 1, 50),
  linearizableReads: oneOf('quorum', 'lease'),
  requestTimeoutMs: integer(5000, 1, TIMER_MS_MAX),
  forwardToLeader: must(true, 'true or false', (value) => typeof value === 'boolean'),
  keyBytesMax: integer(64 * KIB, 1, MIB),
  valueBytesMax: integer(MIB, 1, 64 * MIB),
  requestBytesMax: integer(4 * MIB, KIB, 128 * MIB),
  historyEntriesMax: integer(100_000, 0, COUNT_MAX),
  historyBytesMax: integer(32 * MIB, 0, UINT32_MAX),
  historyAgeMsMax: integer(600_000, 0, Number.MAX_SAFE_INTEGER),
  pendingProposalsMax: integer(100_000, 1, COUNT_MAX),
  pendingBytesMax: integer(64 * MIB, KIB, UINT32_MAX),
  pendingReadsMax: integer(100_000, 1, COUNT_MAX),
  runBytesMax: integer(512 * KIB, KIB, 16 * MIB),
  appendBytesMax: integer(MIB, KIB, 64 * MIB),
  inflightAppendsMax: integer(64, 1, 10_000),
  inflightBytesMax: integer(8 * MIB, KIB, KIB * MIB),
  uncommittedBytesMax: integer(64 * MIB, KIB, UINT32_MAX),
  logTailBytesMax: integer(16 * MIB, 0, UINT32_MAX),
  snapshotEntries: integer(1_000_000, 0, Number.MAX_SAFE_INTEGER),
  snapshotLogBytes: integer(256 * MIB, 0, Number.MAX_SAFE_INTEGER),
  snapshotIntervalMs: integer(0, 0, TIMER_MS_MAX),
  logEntriesKept: integer(10_000, 0, Number.MAX_SAFE_INTEGER),
  snapshotChunkBytes: integer(256 * KIB, KIB, 16 * MIB),
  snapshotWindowChunks: integer(4, 1, 1000),
  snapshotBytesPerSecond: integer(0, 0, Number.MAX_SAFE_INTEGER),
  promotionLagEntries: integer(1000, 0, COUNT_MAX),
  promotionAfterMs: integer(1000, 0, 600_000),
  outboxBytesMax: integer(32 * MIB, KIB, UINT32_MAX),
  reconnectDelayMsMin: integer(50, 1, 60_000),
  reconnectDelayMsMax: integer(2000, 1, 600_000),
  slowDiskMs: integer(500, 10, 600_000),
  stalledLoopMs: integer(500, 10, 600_000),
  lowDiskBytes: integer(64 * MIB, 0, Number.MAX_SAFE_INTEGER),
  handOverWhenUnhealthy: must(true, 'true or false', (value) => typeof value === 'boolean'),
  log: must(writeToConsole, 'a function of one notice', (value) => typeof value === 'function'),
}

/**
 * Checks an engine's options and fills in the defaults. Throws INVALID_ARGUMENT, naming the option, what was given and
 * what may be.
 */
export function validateOptions(input: EngineOptions): ResolvedOptions {
  const given: unknown = input
  checkNames(given, 'the options', Object.keys(RULES))
  const chosen = Object.fromEntries(
    Object.entries(RULES).map(([name, rule]) => [name, given[name] === undefined ? rule.fallback : given[name]]),
  )
  for (const [name, rule] of Object.entries(RULES)) {
    const fault = rule.fault(chosen[name])
    if (fault !== undefined) throw invalid(`the option ${name} is ${shown(chosen[name])}; it must be ${fault}`)
  }
  const checked = chosen as Omit<ResolvedOptions, 'members'> & Pick<EngineOptions, 'members'>
  const { id, listen = '' } = checked
  if (checked.join !== undefined && checked.members !== undefined && checked.members.length > 1) {
    const own = 'a server that joins may name only itself there, where others reach it elsewhere than at listen'
    throw invalid(`the options join and members are both given; ${own}`)
  }
  if (checked.members === undefined) checkReachable(listen, `, in members: [{ id: ${id}, address: 'host:port' }]`)
  const members = (checked.members ?? [{ id, address: listen }]).map((member) => ({
    id: member.id,
    address: member.address,
  }))
  const resolved = { ...checked, members, log: guarded(checked.log) }
  checkTogether(resolved)
  return resolved
}

/** Throws INVALID_ARGUMENT, and says how to name another address, when others are told to dial every address there is. */
export function checkReachable(listen: unknown, how: string): void {
  if (typeof listen !== 'string' || !hasUnspecifiedHost(listen)) return
  const what = `the option listen is ${shown(listen)}, every address of this machine, and nobody can dial that`
  throw invalid(`${what}; name the one at which others reach this server${how}`)
}

/** What no option can tell by itself. */
function checkTogether(options: ResolvedOptions): void {
  const { id, members, electionTimeoutMs } = options
  if (!members.some((member) => member.id === id)) {
    throw invalid(`the option members is ${shown(members)}; it must name this server, whose id is ${id}`)
  }
  if (options.join !== undefined && options.listen === undefined) {
    throw invalid('the option listen is undefined; a server that joins must be host:port, for its peers to dial')
  }
  if (members.length > 1 && options.listen === undefined) {
    throw invalid(
      `the option listen is undefined; with ${members.length} members it must be host:port, for them to dial`,
    )
  }
  atMost(options, 'heartbeatIntervalMs', Math.floor(electionTimeoutMs / 3), 'a third of electionTimeoutMs')
  atMost(options, 'reconnectDelayMsMin', options.reconnectDelayMsMax, 'reconnectDelayMsMax')
  const run = commandBytesMax(options) + RUN_OVERHEAD_BYTES
  for (const name of ['pendingBytesMax', 'uncommittedBytesMax', 'outboxBytesMax'] as const) {
    if (options[name] >= run) continue
    const reason = 'the longest command that requestBytesMax, keyBytesMax and valueBytesMax allow'
    throw invalid(`the option ${name} is ${options[name]}; it must be at least ${run}, for ${reason}`)
  }
}

/** Bytes of the longest command. A compare-and-swap carries two values. */
export function commandBytesMax(
  options: Pick<ResolvedOptions, 'requestBytesMax' | 'keyBytesMax' | 'valueBytesMax'>,
): number {
  const { requestBytesMax, keyBytesMax, valueBytesMax } = options
  return Math.max(requestBytesMax, keyBytesMax + 2 * valueBytesMax + COMMAND_OVERHEAD_BYTES)
}

function atMost(
  options: ResolvedOptions,
  name: 'heartbeatIntervalMs' | 'reconnectDelayMsMin',
  max: number,
  what: string,
): void {
  if (options[name] <= max) return
  throw invalid(
    `the option ${name} is ${options[name]}; at most ${max} is allowed, ${what} (default ${RULES[name].fallback})`,
  )
}

function must<Value>(fallback: Value, allowed: string, accepts: (value: unknown) => boolean): Rule<Value> {
  return { fallback, fault: (value) => (accepts(value) ? undefined : allowed) }
}

function integer(fallback: number, min: number, max: number): Rule<number> {
  return must(fallback, `an integer from ${min} to ${max}`, (value) => isIntegerIn(value, min, max))
}

/** The first is the default. */
function oneOf<Word extends string>(...words: [Word, ...Word[]]): Rule<Word> {
  return must(words[0], words.map((word) => `'${word}'`).join(' or '), (value) => words.some((word) => word === value))
}

function isIntegerIn(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
}

function isPath(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && !value.includes('\0')
}

function isClusterId(value: unknown): boolean {
  return typeof value === 'string' && /^[\x21-\x7e]{1,128}$/.test(value)
}

function isAddressList(value: unknown): boolean {
  return Array.isArray(value) && value.length >= 1 && value.length <= NAMED_SERVERS_MAX && value.every(isAddress)
}

function isAddress(value: unknown): value is string {
  return typeof value === 'string' && parseAddress(value) !== undefined
}

/** Of a whole address, its port included: other servers take no longer one. */
export const ADDRESS_CHARACTERS_MAX = 256

/** The two parts of `host:port` or `[IPv6]:port`, undefined when `address` is neither. Ports are 1 to 65,535. */
export function parseAddress(address: string): { readonly host: string; readonly port: number } | undefined {
  if (address.length > ADDRESS_CHARACTERS_MAX) return undefined
  const match = /^(?:\[((?:[\da-f]*:){2}[\da-f:.]*(?:%[\w.-]+)?)\]|([\w.-]{1,253})):(\d{1,5})$/i.exec(address)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host !== undefined && isIntegerIn(port, 1, 65_535) ? { host, port } : undefined
}

/** Whether it stands for every address of a machine, which is a place to listen on and none to dial. */
export function hasUnspecifiedHost(address: string): boolean {
  const host = parseAddress(address)?.host ?? ''
  return /^(?:[0:]*:ffff:)?[0.:]+$/i.test(host)
}

function faultOfMembers(value: unknown): string | undefined {
  const form = 'a list of { id, address }'
  if (!Array.isArray(value) || value.length < 1 || value.length > NAMED_SERVERS_MAX)
    return `${form}, 1 to ${NAMED_SERVERS_MAX} of them`
  const ids = new Set<unknown>()
  const addresses = new Set<unknown>()
  for (const [i, member] of value.entries() as Iterable<[number, unknown]>) {
    const place = `${form}, but members[${i}]`
    if (typeof member !== 'object' || member === null || !('id' in member) || !('address' in member))
      return `${place} is none`
    const { id, address, ...others } = member
    const other = Object.keys(others)[0]
    if (other !== undefined) return `${place} also has ${shown(other)}`
    if (!isIntegerIn(id, 1, SERVER_ID_MAX)) return `${place}.id is no integer from 1 to ${SERVER_ID_MAX}`
    if (!isAddress(address)) return `${place}.address is not host:port, such as 127.0.0.1:9081 or [::1]:9081`
    if (hasUnspecifiedHost(address)) return `${place}.address is every address of a machine, and nobody can dial that`
    if (ids.has(id)) return `${place}.id is another member's too`
    if (addresses.has(address)) return `${place}.address is another member's too`
    ids.add(id)
    addresses.add(address)
  }
  return undefined
}

/** A `log` that throws would do so in the middle of whatever had something to tell. */
function guarded(log: (notice: Notice) => void): (notice: Notice) => void {
  return (notice) => {
    try {
      log(notice)
    } catch (error) {
      writeToConsole({ level: 'error', message: `the option log threw ${String(error)}, told: ${notice.message}` })
    }
  }
}

function writeToConsole(notice: Notice): void {
  // eslint-disable-next-line no-console -- a library's warnings must be seen by somebody until `log` takes them.
  if (notice.level !== 'info') console.warn(`actorum: ${notice.message}`)
}

/** How fresh a read must be: confirmed by a quorum, by the leader's lease, or whatever this server has applied. */
export type Consistency = 'linearizable' | 'lease' | 'eventual'

/** What every call takes. */
export interface CallOptions {
  /** Ends the wait with ABORTED, or OUTCOME_UNKNOWN when the call may still take effect. */
  readonly signal?: AbortSignal | undefined
  /** How long to wait, above 0 and at most 2^31 − 1. Default: the engine's `requestTimeoutMs`. */
  readonly timeoutMs?: number | undefined
}

/** What a read takes besides. */
export interface ReadOptions extends CallOptions {
  /** Default `linearizable`. */
  readonly consistency?: Consistency | undefined
  /**
   * Of an `eventual` read: how old what it sees may be, above 0. Where this server cannot vouch for that, it makes sure
   * with a leader first; no clock but its own counts. Default: as old as it may come.
   */
  readonly maxStalenessMs?: number | undefined
  /**
   * Of an `eventual` read: it waits until this server has applied this revision, so that a client which moves between
   * servers sees its own writes and never goes back; a causal view gives it by itself. A `lease` read is confirmed by a
   * round on a server that has not applied it. Default 0.
   */
  readonly minRevision?: number | undefined
}

export interface ResolvedCallOptions {
  readonly signal: AbortSignal | undefined
  readonly timeoutMs: number
  readonly consistency: Consistency
  /** Infinity: no bound. */
  readonly maxStalenessMs: number
  readonly minRevision: number
}

const CALL_OPTION_NAMES = ['signal', 'timeoutMs']
const READ_OPTION_NAMES = [...CALL_OPTION_NAMES, 'consistency', 'maxStalenessMs', 'minRevision']
const CONSISTENCIES: readonly unknown[] = ['linearizable', 'lease', 'eventual'] satisfies Consistency[]

/** What a call without options gets; made once an engine. */
export function callDefaults(options: Pick<ResolvedOptions, 'requestTimeoutMs'>): ResolvedCallOptions {
  const timeoutMs = options.requestTimeoutMs
  return { signal: undefined, timeoutMs, consistency: 'linearizable', maxStalenessMs: Infinity, minRevision: 0 }
}

/** Checks the options of a call that is no read. Costs nothing without options. Throws INVALID_ARGUMENT. */
export function validateCallOptions(
  options: CallOptions | undefined,
  defaults: ResolvedCallOptions,
): ResolvedCallOptions {
  return options === undefined ? defaults : resolveCall(options, defaults, CALL_OPTION_NAMES)
}

/** Checks the options of a read. Costs nothing without options. Throws INVALID_ARGUMENT. */
export function validateReadOptions(
  options: ReadOptions | undefined,
  defaults: ResolvedCallOptions,
): ResolvedCallOptions {
  return options === undefined ? defaults : resolveCall(options, defaults, READ_OPTION_NAMES)
}

function resolveCall(
  options: ReadOptions,
  defaults: ResolvedCallOptions,
  names: readonly string[],
): ResolvedCallOptions {
  const given: unknown = options
  checkNames(given, "the call's options", names)
  const { signal, timeoutMs = defaults.timeoutMs, consistency = defaults.consistency } = options
  if (signal !== undefined && !isSignal(signal)) throw invalid(`signal is ${shown(signal)}; it must be an AbortSignal`)
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0 && timeoutMs <= TIMER_MS_MAX)) {
    throw invalid(`timeoutMs is ${shown(timeoutMs)}; it must be a number above 0 and at most ${TIMER_MS_MAX}`)
  }
  if (!CONSISTENCIES.includes(consistency)) {
    throw invalid(`consistency is ${shown(consistency)}; it must be 'linearizable', 'lease' or 'eventual'`)
  }
  const { maxStalenessMs = Infinity, minRevision = 0 } = options
  checkFreshness(maxStalenessMs, minRevision)
  return { signal, timeoutMs, consistency, maxStalenessMs, minRevision }
}

function checkFreshness(maxStalenessMs: unknown, minRevision: unknown): void {
  if (typeof maxStalenessMs !== 'number' || !(maxStalenessMs > 0)) {
    throw invalid(`maxStalenessMs is ${shown(maxStalenessMs)}; it must be a number above 0`)
  }
  if (!isIntegerIn(minRevision, 0, Number.MAX_SAFE_INTEGER)) {
    throw invalid(`minRevision is ${shown(minRevision)}; it must be a revision: an integer from 0`)
  }
}

/**
 * Where peers reach this server; '' where nobody does. Where `members` names it elsewhere than it listens, that is the
 * place, by a proxy perhaps. But a log that names it where it listens stays as it is: the server has moved there since
 * `members` was written.
 */
export function ownAddress({ id, listen = '', members }: ResolvedOptions, logged: readonly Member[]): string {
  const isLoggedHere = logged.some((member) => member.id === id && member.address === listen)
  if (isLoggedHere && !hasUnspecifiedHost(listen)) return listen
  return members.find((member) => member.id === id)?.address ?? listen
}

/** Whether it can be listened to as an AbortSignal can. */
export function isSignal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (!('aborted' in value && 'addEventListener' in value && 'removeEventListener' in value)) return false
  const { aborted, addEventListener, removeEventListener } = value
  return (
    typeof aborted === 'boolean' && typeof addEventListener === 'function' && typeof removeEventListener === 'function'
  )
}

/** Holds when `input` is an object with no other names than these. Throws INVALID_ARGUMENT. */
export function checkNames(
  input: unknown,
  what: string,
  names: readonly string[],
): asserts input is Readonly<Record<string, unknown>> {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw invalid(`${what} are ${shown(input)}; they must be an object`)
  }
  for (const name in input) {
    if (names.includes(name) || !Object.hasOwn(input, name)) continue
    const nearest = nearestName(name, names)
    const advice = nearest === undefined ? `known are ${names.join(', ')}` : `did you mean ${nearest}?`
    throw invalid(`${what} have no ${shown(name)}; ${advice}`)
  }
}

/** The name that differs in the fewest letters, case aside, unless it differs in more than a third of them. */
function nearestName(wrong: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((name) => ({ name, distance: editDistance(wrong.slice(0, 64).toLowerCase(), name.toLowerCase()) }))
    .sort((first, second) => first.distance - second.distance)
  const [best] = ranked
  return best !== undefined && best.distance <= best.name.length / 3 ? best.name : undefined
}

/** Levenshtein's: letters added, left out or replaced. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...to].entries()) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (letter === other ? 0 : 1)))
    }
    row = next
  }
  return row[to.length]!
}

/** A value as an error shows it: short, whatever it is. */
export function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'string' || (typeof value === 'object' && value !== null)) return shownAsJson(value)
  return String(value)
}

function shownAsJson(value: unknown): string {
  try {
    const text = JSON.stringify(value)
    return text.length > 80 ? `${text.slice(0, 80)}…` : text
  } catch {
    // Cyclic, or with a bigint in it.
    return 'an object that is no JSON'
  }
}

function invalid(message: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', message)
}
