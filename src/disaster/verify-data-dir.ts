import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { fromCallback, UNFINISHED } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import type { Malformed } from '../machines/entry-run.js'
import type { LogIndex, Member, ServerId, Term } from '../machines/types.js'
import { shown } from '../options.js'
import type { LogStoreKind } from '../storage/file-or-level.js'
import type { DiskContents } from '../storage/record-disk.js'
import { Recovery, type RecoveredLog } from '../storage/recovery.js'
import { decodeServerRecord, type ServerRecord } from '../storage/server-record.js'
import { isSnapshotName, newestFirst, parseName } from '../storage/snapshot-catalogue.js'
import { failed, kindOf, namesIn } from './data-directory.js'
import { mirror } from './mirror.js'
import { type SnapshotEnds, verifySnapshot } from './snapshot-file.js'

/** Something that a person should know of a data directory. */
export interface Finding {
  /** `damage` keeps a server from starting, or from falling back on an older snapshot; a `note` does not. */
  readonly kind: 'damage' | 'note'
  readonly message: string
}

/** A snapshot whose every byte is as it was written. */
export interface SoundSnapshot {
  readonly index: LogIndex
  readonly term: Term
  readonly byteLength: number
}

/** What a data directory holds. Where the server's own record cannot be read, what stands in it is undefined. */
export interface DataDirReport {
  /** True when nothing found is damage. */
  readonly ok: boolean
  readonly findings: readonly Finding[]
  /** Undefined where the log is missing. */
  readonly logStore: LogStoreKind | undefined
  readonly id: ServerId | undefined
  readonly storeId: string | undefined
  readonly clusterId: string | undefined
  readonly term: Term | undefined
  /** Log index after which the log begins. */
  readonly boundary: LogIndex | undefined
  /** Of the log as an engine would accept it; undefined where it would not. */
  readonly lastIndex: LogIndex | undefined
  /** Term of the entry there. Of several survivors the one with the highest has most, and of those the longest. */
  readonly lastTerm: Term | undefined
  /** As the newest configuration of such a log has them. */
  readonly members: readonly Member[]
  /** Newest first. */
  readonly snapshots: readonly SoundSnapshot[]
}

interface LogFound {
  readonly record: ServerRecord | undefined
  readonly log: RecoveredLog | 'empty' | undefined
  readonly findings: readonly Finding[]
}

const NO_LOG: LogFound = { record: undefined, log: 'empty', findings: [] }

interface SnapshotsRead {
  /** Whether there are files of any, sound or not. */
  readonly areThere: boolean
  readonly sound: readonly SnapshotEnds[]
  readonly findings: readonly Finding[]
}

/**
 * Reads everything in a data directory, every record and every snapshot, and checks it as an engine would and beyond.
 * Changes nothing. Needs room for a copy of what a Level log has not yet turned into tables.
 * @throws ActorumError INVALID_ARGUMENT (no data directory), LOCKED (an engine has it open), STORAGE_FAILED
 */
export async function verifyDataDir(dataDir: string): Promise<DataDirReport> {
  checkPath(dataDir)
  const logStore = await kindOf(dataDir)
  const isServers = logStore !== undefined || (await namesIn(join(dataDir, 'snapshots'))).some(isSnapshotName)
  if (!isServers) {
    throw new ActorumError('INVALID_ARGUMENT', `the directory ${dataDir} holds no log; name the dataDir of a server`)
  }
  try {
    const { record, log, findings } = logStore === undefined ? NO_LOG : await readLog(join(dataDir, 'log'), logStore)
    const snapshots = await readSnapshots(join(dataDir, 'snapshots'))
    const all = [
      ...(await leftovers(dataDir)),
      ...findings,
      ...snapshots.findings,
      ...gapBetween(record, snapshots.sound),
      ...(log === 'empty' ? lostLog(snapshots) : []),
    ]
    const recovered = log === 'empty' ? undefined : log?.recovered
    const configuration = (recovered?.configurations.at(-1) ?? recovered?.boundary)?.configuration
    return {
      ok: all.every(({ kind }) => kind === 'note'),
      findings: all,
      logStore,
      id: record?.serverId,
      storeId: record?.storeId,
      clusterId: record?.clusterId,
      term: record?.hardState.term,
      boundary: record?.boundary.index,
      lastIndex: recovered?.lastIndex,
      lastTerm: recovered?.termStarts.at(-1)?.term ?? recovered?.boundary.term,
      members: configuration?.members ?? [],
      snapshots: snapshots.sound.map(({ boundary, byteLength }) => {
        return { index: boundary.index, term: boundary.term, byteLength }
      }),
    }
  } catch (error) {
    throw failed(dataDir, error)
  }
}

/** An empty one would be the working directory. */
function checkPath(dataDir: unknown): void {
  if (typeof dataDir === 'string' && dataDir !== '' && !dataDir.includes('\0')) return
  throw new ActorumError('INVALID_ARGUMENT', `dataDir is ${shown(dataDir)}; it must be the path of a server's dataDir`)
}

async function readLog(directory: string, kind: LogStoreKind): Promise<LogFound> {
  const mirrored = await mirror(directory, kind)
  const { disk } = mirrored
  try {
    const contents = await fromCallback<DiskContents>((callback) => disk.open(callback))
    const record = recordIn(contents)
    const recovery = new Recovery(contents, record?.serverId ?? 0, `data directory ${directory}`, crc32)
    await fromCallback<void>((callback) => {
      disk.scan(recovery.scanAbove, (key, bytes) => recovery.take(key, bytes), callback)
    })
    const { log, findings } = finish(recovery)
    return { record, log, findings: [...mirrored.notes.map(note), ...findings] }
  } catch (error) {
    if (!(error instanceof ActorumError) || error.code !== 'CORRUPT') throw error
    const findings = [...mirrored.notes.map(note), damage(mirrored.ofTheLog(error.message))]
    return { record: undefined, log: undefined, findings }
  } finally {
    await mirrored.close()
  }
}

function recordIn({ serverRecord }: DiskContents): ServerRecord | undefined {
  if (serverRecord === undefined) return undefined
  const record = decodeServerRecord(serverRecord, crc32)
  return 'malformed' in record ? undefined : record
}

function finish(recovery: Recovery): Omit<LogFound, 'record'> {
  try {
    const log = recovery.finish()
    if (log === 'empty') return { log, findings: [note('the log was made and never written to')] }
    return { log, findings: log.recovered.notices.map(note) }
  } catch (error) {
    if (!(error instanceof ActorumError)) throw error
    return { log: undefined, findings: [damage(error.message)] }
  }
}

async function readSnapshots(directory: string): Promise<SnapshotsRead> {
  const sound: SnapshotEnds[] = []
  const findings: Finding[] = []
  const names = await namesIn(directory)
  for (const name of names) {
    const named = parseName(name)
    if (named?.stage === 'complete') {
      const found = await verifySnapshot(join(directory, name))
      const fault = faultOf(name, found)
      if (fault !== undefined) findings.push(damage(`the snapshot ${name} is damaged: ${fault}`))
      else if (!('malformed' in found)) sound.push(found)
    } else findings.push(note(`the snapshots have ${name}, which is no complete snapshot and counts for nothing`))
  }
  sound.sort((left, right) => newestFirst(idOf(left), idOf(right)))
  return { sound, findings, areThere: names.some(isSnapshotName) }
}

function faultOf(name: string, found: SnapshotEnds | Malformed): string | undefined {
  if ('malformed' in found) return found.malformed
  const said = parseName(name)?.id
  const is = idOf(found)
  const isSame = said !== undefined && newestFirst(said, is) === 0
  return isSame ? undefined : 'it is not the one that its name says'
}

function idOf({ boundary, byteLength, checksum }: SnapshotEnds) {
  return { index: boundary.index, term: boundary.term, byteLength, checksum }
}

/** What lies before the log's beginning must be in a snapshot. */
function gapBetween(record: ServerRecord | undefined, sound: readonly SnapshotEnds[]): readonly Finding[] {
  const covered = sound[0]?.boundary.index ?? 0
  if (record === undefined || covered >= record.boundary.index) return []
  const { index } = record.boundary
  return [
    damage(`the log begins after entry ${index}, and the newest sound snapshot covers entries up to ${covered} only`),
  ]
}

/** Snapshots are made after the log, and never without one. */
function lostLog({ areThere }: SnapshotsRead): readonly Finding[] {
  return areThere ? [damage('there are snapshots, but the log that belongs to them is missing')] : []
}

async function leftovers(dataDir: string): Promise<readonly Finding[]> {
  const names = await namesIn(dataDir)
  const found = names.includes(UNFINISHED)
    ? [damage('a restore, or a forced new cluster, was not finished here: an engine does not start')]
    : []
  const former = names.filter((name) => name.startsWith('former-'))
  return [...found, ...(await Promise.all(former.map(async (name) => note(await keptIn(dataDir, name)))))]
}

async function keptIn(dataDir: string, name: string): Promise<string> {
  const names = await readdir(join(dataDir, name)).catch(() => undefined)
  if (names?.length !== 0) return `${name} keeps what was here before a new cluster was forced`
  return `${name} is empty, and of no use: an attempt to force a new cluster was cut short, or went back`
}

function damage(message: string): Finding {
  return { kind: 'damage', message }
}

function note(message: string): Finding {
  return { kind: 'note', message }
}
