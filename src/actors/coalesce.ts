import type { AppendEntries, Message } from '../machines/messages.js'
import type { LoopInput } from './event-loop.js'

type MessageInput = Extract<LoopInput, { readonly type: 'message' }>

/**
 * Joins neighbours in one turn's inputs that say the same as one: contiguous AppendEntries of one leader and term,
 * within `bytesMax`, and heartbeats and requests for attention of which the newest speaks for all. Never across an
 * input of another kind from anywhere, so that order means what it meant.
 */
export function coalesce(inputs: readonly LoopInput[], bytesMax: number): readonly LoopInput[] {
  if (inputs.length < 2) return inputs
  const joined: LoopInput[] = []
  for (const input of inputs) {
    const previous = joined.at(-1)
    const both = previous === undefined ? undefined : join(previous, input, bytesMax)
    if (both === undefined) joined.push(input)
    else joined[joined.length - 1] = both
  }
  return joined
}

function join(first: LoopInput, second: LoopInput, bytesMax: number): LoopInput | undefined {
  if (first.type === 'requests' && second.type === 'requests') return first
  if (first.type !== 'message' || second.type !== 'message' || first.from !== second.from) return undefined
  const message = joinMessages(first.message, second.message, bytesMax)
  return message === undefined ? undefined : ({ type: 'message', from: first.from, message } satisfies MessageInput)
}

function joinMessages(first: Message, second: Message, bytesMax: number): Message | undefined {
  if (first.term !== second.term) return undefined
  if (first.type === 'appendEntries' && second.type === 'appendEntries') return joinAppends(first, second, bytesMax)
  if (first.type === 'heartbeat' && second.type === 'heartbeat') {
    const newer = second.round >= first.round ? second : first
    return { ...newer, commitIndex: Math.max(first.commitIndex, second.commitIndex) }
  }
  return undefined
}

function joinAppends(first: AppendEntries, second: AppendEntries, bytesMax: number): AppendEntries | undefined {
  const end = first.runs.at(-1)
  // Contiguous also in term: the second continues exactly what the first would leave.
  if (end === undefined || second.prevLogIndex !== end.lastIndex || second.prevLogTerm !== end.term) return undefined
  if (bytesOf(first) + bytesOf(second) > bytesMax) return undefined
  const commitIndex = Math.max(first.commitIndex, second.commitIndex)
  return { ...first, runs: [...first.runs, ...second.runs], commitIndex }
}

function bytesOf({ runs }: AppendEntries): number {
  return runs.reduce((sum, run) => sum + run.bytes.length, 0)
}
