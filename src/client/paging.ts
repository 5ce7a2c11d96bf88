import { crc32 } from '../machines/checksum.js'
import type { LogIndex } from '../machines/types.js'
import { checkNames, shown, type ReadOptions } from '../options.js'
import { charsOf, isInRange, keyAfter, type KeyChars, type KeyRange } from '../state-machines/kv/keys.js'
import type { RangeQuery } from '../state-machines/kv/range.js'
import type { RangeResult } from '../state-machines/kv/results.js'
import { checkedFlag, checkedInteger, checkedRevision, invalid, KEY_READ_NAMES, readOptionsOf } from './call-checks.js'
import type { RangeOptions } from './client-api.js'
import { rangeOfBounds } from './selectors.js'

const PAGE_ENTRIES_MAX = 10_000
const PAGE_ENTRIES = 1000
/** A page ends after the entry with which its keys and values come to this. */
const PAGE_BYTES_MAX = 4 * 1024 * 1024

/** What `entries` takes. */
export const ENTRIES_NAMES = [...KEY_READ_NAMES, 'prefix', 'from', 'to', 'limit', 'reverse', 'keysOnly']
const RANGE_NAMES = [...ENTRIES_NAMES, 'countOnly', 'cursor']

/** One page as it is asked for. */
export interface PageAsked {
  /** All that is to be read, on this page and others. */
  readonly whole: KeyRange
  /** What is left of it from this page on, and what of it is wanted. */
  readonly query: RangeQuery
  /** undefined: the newest, which the first page finds out. */
  readonly revision: LogIndex | undefined
  readonly options: ReadOptions
}

/** A page that is not the first. */
export interface NextPage extends PageAsked {
  readonly revision: LogIndex
  /** Where the page before ended. */
  readonly last: KeyChars
}

/** @throws ActorumError INVALID_ARGUMENT, TOO_LARGE */
export function pageAsked(query: RangeOptions, keyBytesMax: number, names = RANGE_NAMES): PageAsked {
  const given: unknown = query
  checkNames(given, "the range's options", names)
  const { limit = PAGE_ENTRIES, prefix, from, to } = query
  const whole = rangeOfBounds({ prefix, from, to }, keyBytesMax)
  const asked: PageAsked = {
    whole,
    query: {
      ...whole,
      limit: checkedInteger('limit', limit, 1, PAGE_ENTRIES_MAX),
      bytesMax: PAGE_BYTES_MAX,
      reverse: checkedFlag('reverse', query.reverse),
      keysOnly: checkedFlag('keysOnly', query.keysOnly),
      countOnly: checkedFlag('countOnly', query.countOnly),
    },
    revision: checkedRevision(query.revision),
    options: readOptionsOf(query),
  }
  return query.cursor === undefined ? asked : pageAt(query.cursor, asked)
}

/** What comes after a page, and as of the same revision; undefined when nothing does. */
export function nextPage(asked: PageAsked, { entries, more, revision }: RangeResult): NextPage | undefined {
  const key = entries.at(-1)?.key
  return more && key !== undefined ? pageAfter(charsOf(key, 0, key.length), revision, asked) : undefined
}

function pageAfter(last: KeyChars, revision: LogIndex, asked: PageAsked): NextPage {
  const rest = asked.query.reverse === true ? { to: last } : { from: keyAfter(last) }
  return { ...asked, query: { ...asked.query, ...rest }, revision, last }
}

/**
 * A cursor says where the page before ended, as of which revision, and by a checksum of which query. Its first character
 * is its format's version; the rest is Base64 for URLs of `revision.checksum.key`.
 */
const VERSION = '1'

export function cursorOf(next: NextPage): string {
  const text = `${next.revision}.${checksumOf(next, next.revision, next.last)}.${next.last}`
  return VERSION + btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function pageAt(cursor: string, asked: PageAsked): NextPage {
  const { revision, checksum, last } = readCursor(cursor)
  const isOfThis = checksum === checksumOf(asked, revision, last) && isInRange(last, asked.whole)
  if (!isOfThis || (asked.revision !== undefined && asked.revision !== revision)) {
    throw invalid('the cursor belongs to another query; give it with the rest of the query as it was')
  }
  return pageAfter(last, revision, asked)
}

function readCursor(cursor: unknown): { revision: LogIndex; checksum: string; last: KeyChars } {
  const [, encoded] = (typeof cursor === 'string' && /^1([\w-]+)$/.exec(cursor)) || []
  const [, revision, checksum, last] = /^(\d{1,16})\.([\da-f]{8})\.(.+)$/s.exec(decoded(encoded ?? '')) ?? []
  if (revision === undefined || checksum === undefined || last === undefined) {
    throw invalid(`cursor is ${shown(cursor)}; it must be one that range gave`)
  }
  return { revision: Number(revision), checksum, last: charsOf(bytesOf(last), 0, last.length) }
}

/** '' when it is no Base64. */
function decoded(encoded: string): string {
  try {
    return atob(encoded.replaceAll('-', '+').replaceAll('_', '/'))
  } catch {
    return ''
  }
}

function checksumOf({ whole: { from, to }, query }: PageAsked, revision: LogIndex, last: KeyChars): string {
  const { reverse, keysOnly, countOnly } = query
  const flags = [reverse, keysOnly, countOnly, to !== undefined].map(Number).join('')
  const bounds = `${from.length}.${to?.length ?? 0}.${from}${to ?? ''}`
  return crc32(bytesOf(`${flags}.${revision}.${bounds}${last}`))
    .toString(16)
    .padStart(8, '0')
}

/** One byte a character. */
function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}
