import type { ServerId } from '../../src/machines/types.js'
import type { Message } from '../../src/machines/messages.js'
import type { JoinAnswer, JoinRequest, TransportHandler } from '../../src/transport/ports.js'
import { WebSocketTransport, type WebSocketTransportSpec } from '../../src/transport/websocket-transport.js'
import { spec, until } from './websocket-subject.js'

/** A server on loopback with what its handler was told. */
export class TestServer implements TransportHandler {
  readonly id: ServerId
  readonly transport: WebSocketTransport
  readonly received: Message[] = []
  readonly notices: string[] = []
  readonly strangers: string[] = []
  readonly asked: { readonly request: JoinRequest; readonly answer: (answer: JoinAnswer) => void }[] = []
  readonly up = new Map<ServerId, number>()
  downs = 0
  drops = 0
  onMessage: (message: Message) => void = () => undefined

  constructor(id: ServerId, more: Partial<WebSocketTransportSpec> = {}) {
    this.id = id
    this.transport = new WebSocketTransport(spec(more))
  }

  async start(nonce = this.id): Promise<void> {
    const identity = { id: this.id, clusterId: 'cluster', storeId: `store of ${this.id}`, nonce }
    await new Promise<void>((resolve, reject) => {
      this.transport.start(identity, this, (error) => (error === undefined ? resolve() : reject(error)))
    })
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.transport.stop(resolve))
  }

  message(_from: ServerId, message: Message): void {
    this.received.push(message)
    this.onMessage(message)
  }

  peerUp(peer: ServerId, nonce: number): void {
    this.up.set(peer, nonce)
  }

  peerDown(peer: ServerId): void {
    this.up.delete(peer)
    this.downs++
  }

  peerDropped(): void {
    this.drops++
  }

  joinAsked(request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    this.asked.push({ request, answer })
  }

  strangerAt(address: string): void {
    this.strangers.push(address)
  }

  notice(text: string): void {
    this.notices.push(text)
  }
}

export async function connect(...servers: readonly TestServer[]): Promise<void> {
  for (const server of servers) await server.start()
  const peers = servers.map(({ id, transport }) => ({ id, address: transport.address }))
  for (const { transport } of servers) transport.setPeers(peers)
  await until(() => servers.every(({ up }) => up.size === servers.length - 1), 'all peers are up')
}

export function heartbeat(round: number): Message {
  return { type: 'heartbeat', term: 1, round, commitIndex: 0, promiseMs: 150 }
}
