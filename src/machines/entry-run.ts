import type { Checksum, Configuration, LogIndex, ServerId, Term } from './types.js'

/**
 * A run: consecutive entries of one term, proposed together and encoded once by the leader that appended them. The same
 * bytes go to its disk, over the wire and to the followers' disks.
 *
 * A run is never split. Its leader appends it whole, replication and truncation move whole runs, so by Log Matching
 * (thesis §3.5) two logs that share an entry share its whole run. And because each run carries the checksum of the run
 * before it, a log is a chain in which a lost, damaged or foreign run shows.
 *
 *     0 u8  format      16 f64 firstIndex         40 f64 wallTime       64 u32 bodyLength
 *     1 u8  kind        24 u32 count              48 u32 origin server  68 u32 checksum of bytes 0–67 and the body
 *     2 u16 0           28 u32 previousChecksum   52 u32 origin nonce   72 body
 *     4 u32 group       32 f64 clusterTime        56 f64 origin batch      (all big-endian)
 *     8 f64 term
 *
 * The body of commands: `count` times { u32 payloadLength, u8 flags, [f64 client, f64 sequence if flags & 1], payload }.
 */
export interface EntryRun {
  readonly kind: RunKind
  readonly term: Term
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly count: number
  readonly previousChecksum: number
  readonly checksum: number
  /** Milliseconds of cluster time (thesis §6.3, LogCabin): the clock that all servers share through the log. */
  readonly clusterTime: number
  /** Milliseconds since 1970 at the leader; for people to read, never for expiry. */
  readonly wallTime: number
  readonly origin: Origin
  /** Header and body. Owned by the log: nobody changes them after sealing. */
  readonly bytes: Uint8Array
}

export type RunKind = 'noop' | 'configuration' | 'command'

/** Which server's client proposed a run, so that it can answer when it applies the run itself. */
export interface Origin {
  readonly server: ServerId
  /** Random per start of that server, so that it never takes an earlier incarnation's runs for its own. */
  readonly nonce: number
  readonly batch: number
}

/** Bytes that were refused, and why. */
export interface Malformed {
  readonly malformed: string
  /** Well formed as far as can be told, by a newer version than this one. */
  readonly newer?: boolean
}

export const RUN_FORMAT = 1
export const RUN_HEADER_BYTES = 72
export const ENTRY_HEADER_BYTES = 5
const SESSION_BYTES = 16
const SESSION_FLAG = 1
const CHECKSUM_AT = 68
const KINDS: readonly RunKind[] = ['noop', 'configuration', 'command']

/** What the header says beside the body. */
export type RunSpec = Pick<
  EntryRun,
  'kind' | 'term' | 'firstIndex' | 'count' | 'previousChecksum' | 'clusterTime' | 'wallTime' | 'origin'
>

/**
 * Writes the header into the first `RUN_HEADER_BYTES` of `bytes`, whose rest is the body, and takes ownership of them.
 * Pure but for those bytes.
 */
export function sealRun(bytes: Uint8Array, spec: RunSpec, checksum: Checksum): EntryRun {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  view.setUint8(0, RUN_FORMAT)
  view.setUint8(1, KINDS.indexOf(spec.kind))
  view.setUint16(2, 0)
  view.setUint32(4, 0)
  view.setFloat64(8, spec.term)
  view.setFloat64(16, spec.firstIndex)
  view.setUint32(24, spec.count)
  view.setUint32(28, spec.previousChecksum)
  view.setFloat64(32, spec.clusterTime)
  view.setFloat64(40, spec.wallTime)
  view.setUint32(48, spec.origin.server)
  view.setUint32(52, spec.origin.nonce)
  view.setFloat64(56, spec.origin.batch)
  view.setUint32(64, bytes.length - RUN_HEADER_BYTES)
  const sum = runChecksum(bytes, checksum)
  view.setUint32(CHECKSUM_AT, sum)
  const { kind, term, firstIndex, count, previousChecksum, clusterTime, wallTime, origin } = spec
  const lastIndex = firstIndex + count - 1
  return {
    kind,
    term,
    firstIndex,
    count,
    lastIndex,
    previousChecksum,
    checksum: sum,
    clusterTime,
    wallTime,
    origin,
    bytes,
  }
}

function runChecksum(bytes: Uint8Array, checksum: Checksum): number {
  return checksum(bytes.subarray(RUN_HEADER_BYTES), checksum(bytes.subarray(0, CHECKSUM_AT)))
}

/**
 * Reads one run, checking every field, the body's layout and the checksum. `bytes` must be exactly the run; the result
 * keeps a view of them.
 */
export function decodeRun(bytes: Uint8Array, checksum: Checksum): EntryRun | Malformed {
  if (bytes.length < RUN_HEADER_BYTES) return malformed(`a run of ${bytes.length} bytes is shorter than its header`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const format = view.getUint8(0)
  if (format !== RUN_FORMAT) {
    return malformed(`run format ${format} is not known here (this version reads ${RUN_FORMAT})`, format > RUN_FORMAT)
  }
  if (view.getUint32(64) !== bytes.length - RUN_HEADER_BYTES)
    return malformed('a run is shorter or longer than its header says')
  const sum = view.getUint32(CHECKSUM_AT)
  if (sum !== runChecksum(bytes, checksum)) return malformed('a run does not match its checksum')
  const kind = KINDS[view.getUint8(1)]
  if (kind === undefined) return malformed(`entry kind ${view.getUint8(1)} is not known here`, true)
  const group = view.getUint32(4)
  if (group !== 0) return malformed(`group ${group} is not known here`, true)
  const run: EntryRun = {
    kind,
    term: view.getFloat64(8),
    firstIndex: view.getFloat64(16),
    count: view.getUint32(24),
    lastIndex: view.getFloat64(16) + view.getUint32(24) - 1,
    previousChecksum: view.getUint32(28),
    checksum: sum,
    clusterTime: view.getFloat64(32),
    wallTime: view.getFloat64(40),
    origin: { server: view.getUint32(48), nonce: view.getUint32(52), batch: view.getFloat64(56) },
    bytes,
  }
  const fault = faultOfHeader(run) ?? faultOfBody(run)
  return fault === undefined ? run : malformed(fault)
}

function malformed(reason: string, newer = false): Malformed {
  return newer ? { malformed: reason, newer } : { malformed: reason }
}

function faultOfHeader(run: EntryRun): string | undefined {
  if (!Number.isSafeInteger(run.term) || run.term < 1) return `a run's term is ${run.term}`
  if (!Number.isSafeInteger(run.firstIndex) || run.firstIndex < 1) return `a run's first index is ${run.firstIndex}`
  if (run.count < 1 || !Number.isSafeInteger(run.lastIndex)) return `a run of ${run.count} entries`
  if (!Number.isFinite(run.clusterTime) || run.clusterTime < 0) return `a run's cluster time is ${run.clusterTime}`
  if (!Number.isFinite(run.wallTime)) return `a run's wall time is ${run.wallTime}`
  if (!Number.isSafeInteger(run.origin.batch) || run.origin.batch < 0)
    return `a run's origin batch is ${run.origin.batch}`
  return undefined
}

function faultOfBody(run: EntryRun): string | undefined {
  switch (run.kind) {
    case 'command':
      return faultOfCommands(run.bytes, run.count)
    case 'noop':
      return run.count === 1 ? undefined : `a no-op run of ${run.count} entries`
    case 'configuration': {
      if (run.count !== 1) return `a configuration run of ${run.count} entries`
      const configuration = configurationOf(run)
      return 'malformed' in configuration ? configuration.malformed : undefined
    }
  }
}

/** Why `bytes` (with room for a header) are not the body of `count` commands, or undefined when they are. */
export function faultOfCommands(bytes: Uint8Array, count: number): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = RUN_HEADER_BYTES
  for (let entry = 0; entry < count; entry++) {
    if (at + ENTRY_HEADER_BYTES > bytes.length) return `a run ends before its entry ${entry + 1} of ${count}`
    const flags = bytes[at + 4]!
    if (flags > SESSION_FLAG) return `entry flags ${flags} are not known here`
    at += ENTRY_HEADER_BYTES + (flags & SESSION_FLAG ? SESSION_BYTES : 0) + view.getUint32(at)
  }
  return at === bytes.length ? undefined : `a run's ${count} entries do not end where it ends`
}

/** Calls `visit` with each command's place in `run.bytes`: the payload is `bytes[start, end)`. Copies nothing. */
export function forEachCommand(run: EntryRun, visit: (start: number, end: number, index: LogIndex) => void): void {
  const view = new DataView(run.bytes.buffer, run.bytes.byteOffset, run.bytes.byteLength)
  let at = RUN_HEADER_BYTES
  for (let index = run.firstIndex; index <= run.lastIndex; index++) {
    const start = at + ENTRY_HEADER_BYTES + (run.bytes[at + 4]! & SESSION_FLAG ? SESSION_BYTES : 0)
    const end = start + view.getUint32(at)
    visit(start, end, index)
    at = end
  }
}

/** The bytes of a no-op, to be sealed. It names the cluster; the first committed one counts. */
export function encodeNoop(clusterId: string): Uint8Array {
  return withHeaderRoom(new TextEncoder().encode(clusterId))
}

/** The name that a no-op gives the cluster. */
export function clusterIdOf(noop: EntryRun): string {
  return new TextDecoder().decode(noop.bytes.subarray(RUN_HEADER_BYTES))
}

/** The bytes of a configuration entry, to be sealed. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  return withHeaderRoom(new TextEncoder().encode(JSON.stringify(configuration)))
}

/** Why the entry of a configuration could not be read again; undefined where it could. */
export function faultOfConfiguration(configuration: Configuration): string | undefined {
  const read = parseConfiguration(JSON.parse(JSON.stringify(configuration)))
  return 'malformed' in read ? read.malformed : undefined
}

/** The configuration that an entry of that kind holds. */
export function configurationOf(run: EntryRun): Configuration | Malformed {
  try {
    return parseConfiguration(JSON.parse(new TextDecoder().decode(run.bytes.subarray(RUN_HEADER_BYTES))))
  } catch {
    return malformed('a configuration entry is not JSON')
  }
}

/**
 * Checks that `value`, from disk or wire, is a configuration. Only that of a server which has yet to join has no voters.
 */
export function parseConfiguration(value: unknown, votersMin = 1): Configuration | Malformed {
  if (typeof value !== 'object' || value === null) return malformed('a configuration is not an object')
  const { voters, votersOutgoing, learners, members } = value as Record<string, unknown>
  if (!isIdList(voters) || voters.length < votersMin) return malformed('a configuration has no list of voters')
  if (votersOutgoing !== undefined && (!isIdList(votersOutgoing) || votersOutgoing.length === 0)) {
    return malformed("a configuration's outgoing voters are not a list of ids")
  }
  if (!isIdList(learners)) return malformed("a configuration's learners are not a list of ids")
  if (members !== undefined && !isMemberList(members)) return malformed("a configuration's members are not well formed")
  return {
    voters,
    learners,
    ...(votersOutgoing === undefined ? {} : { votersOutgoing }),
    ...(members === undefined ? {} : { members }),
  }
}

function isIdList(value: unknown): value is ServerId[] {
  return Array.isArray(value) && value.every((id) => Number.isInteger(id) && id >= 1 && id <= 0xffff_ffff)
}

function isMemberList(value: unknown): value is NonNullable<Configuration['members']> {
  return (
    Array.isArray(value) &&
    value.every(
      (member: unknown) =>
        typeof member === 'object' &&
        member !== null &&
        'id' in member &&
        isIdList([member.id]) &&
        'address' in member &&
        typeof member.address === 'string' &&
        (!('storeId' in member) || typeof member.storeId === 'string') &&
        (!('promotable' in member) || typeof member.promotable === 'boolean'),
    )
  )
}

function withHeaderRoom(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(RUN_HEADER_BYTES + body.length)
  bytes.set(body, RUN_HEADER_BYTES)
  return bytes
}
