import type { Violation } from './checker.js'
import type { Operation } from './history.js'
import { describeOperation, describeRest, shown } from './history.js'
import { TIMELINE_SCRIPT, TIMELINE_STYLE } from './timeline-page.js'

export interface TimelineOptions {
  /** Default: `History`. */
  readonly title?: string
  /** What the checker found: marked in the page, which opens there. */
  readonly violation?: Violation
}

/** An operation as drawn. */
interface Bar {
  readonly operation: Operation
  /** Nanoseconds; where it never returned, when its client went on. */
  readonly end: number
  /** Its row among those of its client, from 0: more than one where a client has several calls under way. */
  readonly lane: number
}

const LANE_PX = 28

/**
 * A history as one HTML page, with nothing outside it: a row for each client, a bar from each call to its return.
 * With a violation: the order that was found as numbers on the bars and as a list, and what has no place in it.
 */
export function formatTimeline(history: readonly Operation[], options: TimelineOptions = {}): string {
  const { title = 'History', violation } = options
  const places = new Map((violation?.order ?? []).map((operation, index) => [operation, index + 1]))
  const unplaced = new Map((violation?.unplaced ?? []).map((operation, index) => [operation, index]))
  const clients = [...new Set(history.map(({ client }) => client))].sort(byNumbersInside)
  const rows = clients.map((client) => {
    const bars = barsOf(history.filter((operation) => operation.client === client))
    const lanes = bars.reduce((most, { lane }) => Math.max(most, lane + 1), 1)
    const drawn = bars.map((bar) => formatBar(bar, places.get(bar.operation), unplaced.get(bar.operation)))
    const height = lanes * LANE_PX + 8
    return `<div class="row" style="height:${height}px"><div class="client">${escape(client)}</div>${drawn.join('')}</div>`
  })
  const end = history.reduce((latest, { call, return: end }) => Math.max(latest, call, end === Infinity ? 0 : end), 1)
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    `<meta name="viewport" content="width=device-width"><title>${escape(title)}</title>`,
    `<style>${TIMELINE_STYLE}</style></head><body data-end="${end}" data-scale="${openingScale(history)}">`,
    formatHeader(title, history, violation),
    `<main><div class="board" role="img" aria-label="A row for each client, a bar for each operation, time to the right">`,
    `<div class="axis"><div class="client">client</div></div>${formatBand(violation)}${rows.join('\n')}</div></main>`,
    violation === undefined ? '' : formatOrder(violation),
    `<div id="tip" role="tooltip" hidden></div><script>${TIMELINE_SCRIPT}</script></body></html>\n`,
  ].join('\n')
}

function formatHeader(title: string, history: readonly Operation[], violation: Violation | undefined): string {
  const keys = [...new Set(history.map(({ key }) => key))].sort(byNumbersInside)
  const options = keys.map((key) => {
    const selected = key === violation?.key ? ' selected' : ''
    return `<option value="${escape(key)}"${selected}>${escape(key)}</option>`
  })
  const finding =
    violation === undefined ? '' : `<p class="finding"><b>✗ Not linearizable.</b> ${escape(violation.reason)}</p>`
  return `<header><h1>${escape(title)}</h1>${finding}<div class="controls">
<label>Key <select id="key"><option value="">all ${keys.length}</option>${options.join('')}</select></label>
<span class="zoom"><button id="out" aria-label="Zoom out">−</button><button id="in" aria-label="Zoom in">+</button>
<button id="fit">Whole history</button>${violation === undefined ? '' : '<button id="go">Violation</button>'}</span>
<span class="legend"><i class="op ok">ok</i><i class="op unknown">unknown, may take effect later</i><i class="op failed">failed</i>
${violation === undefined ? '' : '<i class="op ok"><b>7</b>place in the order found</i><i class="op ok unplaced"><b>✗</b>no place</i>'}</span>
</div></header>`
}

function formatOrder({ key, order, unplaced }: Violation): string {
  let value: string | null = null
  const steps = order.map((operation) => {
    value = valueAfter(operation, value)
    return `<li><a>${escape(`${operation.client}: ${describeOperation(operation)}`)}</a><span>${escape(shown(value))}</span></li>`
  })
  const left = unplaced.map(
    (operation) => `<li><a>${escape(`${operation.client}: ${describeOperation(operation)}`)}</a></li>`,
  )
  return `<footer><section><h2>The order found for ${escape(key)}, and its value after each</h2>
<ol class="order">${steps.join('')}</ol></section>
<section><h2>No place in it</h2><ul class="left">${left.join('')}</ul></section></footer>`
}

/** A band over all rows while the unexplained operation was under way. */
function formatBand(violation: Violation | undefined): string {
  const culprit = violation?.unplaced[0]
  return culprit === undefined
    ? ''
    : `<div class="band" style="--at:${culprit.call};--long:${culprit.return - culprit.call}"></div>`
}

function formatBar({ operation, end, lane }: Bar, place: number | undefined, left: number | undefined): string {
  const isUnplaced = left !== undefined
  const mark = isUnplaced ? '<b>✗</b>' : place === undefined ? '' : `<b>${place}</b>`
  const classes = `op ${operation.outcome}${isUnplaced ? ' unplaced' : ''}`
  const style = `--at:${operation.call};--long:${end - operation.call};top:${lane * LANE_PX + 4}px`
  const number = isUnplaced ? ` data-left="${left}"` : place === undefined ? '' : ` data-place="${place}"`
  const attributes = `data-key="${escape(operation.key)}" data-tip="${escape(tipOf(operation, place, isUnplaced))}"${number}`
  return `<i class="${classes}" style="${style}" ${attributes}>${mark}${operation.op}<s> ${escape(operation.key)}</s>${escape(describeRest(operation))}</i>`
}

function tipOf(operation: Operation, place: number | undefined, isUnplaced: boolean): string {
  const { client, call, return: end, outcome } = operation
  const when =
    end === Infinity
      ? `called at ${formatTime(call)}, never returned`
      : `${formatTime(call)} to ${formatTime(end)}, ${formatTime(end - call)} long`
  const judged = isUnplaced
    ? 'no place in the order found'
    : place === undefined
      ? ''
      : `number ${place} in the order found`
  return [describeOperation(operation), `client ${client}, ${outcome}`, when, judged, servedOf(operation)]
    .filter((line) => line !== '')
    .join('\n')
}

function servedOf(operation: Operation): string {
  if (operation.op !== 'get') return ''
  const { consistency, server, seen } = operation
  const said = [
    consistency,
    server === undefined ? undefined : `server ${server}`,
    seen === undefined ? undefined : `saw @${seen}`,
  ]
  return said.filter((word) => word !== undefined).join(', ')
}

/** Lays one client's operations out so that none covers another. */
function barsOf(operations: readonly Operation[]): Bar[] {
  const sorted = operations.toSorted((a, b) => a.call - b.call)
  const ends: number[] = []
  return sorted.map((operation, index) => {
    const next = sorted[index + 1]?.call ?? operation.call + 1
    const end = operation.return === Infinity ? Math.max(next, operation.call + 1) : operation.return
    const free = ends.findIndex((taken) => taken <= operation.call)
    const lane = free < 0 ? ends.length : free
    ends[lane] = end
    return { operation, end, lane }
  })
}

/** Pixels a nanosecond, such that an operation of middling length has room for its words. */
function openingScale(history: readonly Operation[]): number {
  const lengths = history.map(({ call, return: end }) => end - call).filter((length) => length > 0 && length < Infinity)
  const middling = lengths.sort((a, b) => a - b)[lengths.length >>> 1] ?? 1
  return 130 / middling
}

function valueAfter(operation: Operation, value: string | null): string | null {
  switch (operation.op) {
    case 'put':
      return operation.input
    case 'get':
      return value
    case 'delete':
      return null
    case 'cas':
      return operation.input.expected === value ? operation.input.value : value
  }
}

function formatTime(ns: number): string {
  if (ns < 1e3) return `${ns} ns`
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`
  return ns < 1e9 ? `${(ns / 1e6).toFixed(2)} ms` : `${(ns / 1e9).toFixed(3)} s`
}

function byNumbersInside(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
