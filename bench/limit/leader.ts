import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Consistency } from '../../src/options.js'
import type { ServerPlan, Subject } from '../subject.js'
import { Disk } from './disk.js'
import { Batch, encodeSignal, numberOf, ROUND, WRITTEN } from './frame.js'
import { Store } from './store.js'

interface Sent {
  readonly number: number
  readonly bytes: Buffer
  readonly settle: readonly (() => void)[]
}

/**
 * The same work with no Raft at all: what has arrived in a turn forms one batch, which counts once a majority of the
 * processes has written it; then it is applied and its promises are settled.
 */
export class LimitLeader implements Subject {
  readonly leads = true
  readonly #store = new Store()
  readonly #followers: readonly WebSocket[]
  readonly #disk: Disk
  /** The newest batch that this process and each follower have written. */
  readonly #written: number[]
  /** The newest round that each follower has answered. */
  readonly #answered: number[]
  readonly #readsAskFollowers: boolean
  #building = new Batch(0)
  #flushing = false
  #lastNumber = 0
  #sent: Sent[] = []
  #reads: (() => void)[] = []
  #lastRound = 0
  #rounds: { readonly number: number; readonly settle: readonly (() => void)[] }[] = []

  static async start(plan: ServerPlan): Promise<LimitLeader> {
    const peers = plan.members.filter(({ id }) => id !== plan.id)
    const followers = await Promise.all(peers.map(({ address }) => connect(address)))
    const disk = await Disk.open(plan.dataDir, plan.durability === 'disk-first')
    return new LimitLeader(followers, disk, plan.linearizableReads === 'quorum')
  }

  private constructor(followers: readonly WebSocket[], disk: Disk, readsAskFollowers: boolean) {
    this.#followers = followers
    this.#disk = disk
    this.#readsAskFollowers = readsAskFollowers
    this.#written = new Array<number>(followers.length + 1).fill(0)
    this.#answered = new Array<number>(followers.length).fill(0)
    disk.onWritten = (batches) => this.#wrote(0, numberOf(batches[batches.length - 1]!))
    followers.forEach((socket, place) => {
      socket.on('message', (frame: Buffer) => {
        if (frame[0] === WRITTEN) this.#wrote(place + 1, numberOf(frame))
        else this.#confirmed(place, numberOf(frame))
      })
    })
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#building.add(key, value, resolve)
      if (!this.#flushing && !this.#disk.writing) this.#flushSoon()
    })
  }

  #flushSoon(): void {
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      this.#flush()
    })
  }

  #flush(): void {
    const batch = this.#building
    const number = ++this.#lastNumber
    const bytes = batch.seal(number)
    this.#building = new Batch(bytes.length)
    this.#sent.push({ number, bytes, settle: batch.settle })
    for (const socket of this.#followers) socket.send(bytes)
    this.#disk.append(bytes)
  }

  #wrote(place: number, number: number): void {
    this.#written[place] = number
    const byMajority = reachedBy(this.#written, this.#followers.length / 2 + 1)
    while (this.#sent[0] !== undefined && this.#sent[0].number <= byMajority) this.#commit(this.#sent.shift()!)
    if (place === 0 && !this.#flushing && this.#building.settle.length > 0) this.#flushSoon()
  }

  #commit(batch: Sent): void {
    this.#store.apply(batch.bytes)
    for (const settle of batch.settle) settle()
  }

  get(key: Uint8Array, consistency: Consistency): Promise<Uint8Array | undefined> {
    if (consistency !== 'linearizable' || !this.#readsAskFollowers) return Promise.resolve(this.#store.get(key))
    return new Promise((resolve) => {
      if (this.#reads.push(() => resolve(this.#store.get(key))) === 1) setImmediate(() => this.#confirm())
    })
  }

  /** Sends a round for the reads that have arrived; they are served when a majority, this process included, has answered. */
  #confirm(): void {
    const number = ++this.#lastRound
    this.#rounds.push({ number, settle: this.#reads })
    this.#reads = []
    for (const socket of this.#followers) socket.send(encodeSignal(ROUND, number))
  }

  #confirmed(follower: number, number: number): void {
    this.#answered[follower] = number
    const byMajority = reachedBy(this.#answered, this.#followers.length / 2)
    while (this.#rounds[0] !== undefined && this.#rounds[0].number <= byMajority) {
      for (const settle of this.#rounds.shift()!.settle) settle()
    }
  }
}

/** The highest number that at least `count` of these have reached. */
function reachedBy(numbers: readonly number[], count: number): number {
  return numbers.toSorted((a, b) => b - a)[count - 1]!
}

const CONNECT_RETRY_MS = 10

async function connect(address: string): Promise<WebSocket> {
  // An all-zero mask makes ws skip masking.
  const options = { perMessageDeflate: false, generateMask: (mask: Buffer) => void mask.fill(0) }
  for (;;) {
    const socket = new WebSocket(`ws://${address}`, options)
    try {
      await once(socket, 'open')
      return socket
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED')) throw error
      // The follower does not listen yet: the three processes start together.
      await delay(CONNECT_RETRY_MS)
    }
  }
}
