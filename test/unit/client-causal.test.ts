import { describe, expect, it } from 'vitest'
import { CausalStore } from '../../src/client/causal-store.js'
import type { CausalView, ClientApi } from '../../src/client/client-api.js'
import { compare, op } from '../../src/client/txn.js'
import type { Watch } from '../../src/client/watch-api.js'
import { clientOf, done, lone } from './memory-clients.js'
import { MemoryServers, Outcome } from './memory-servers.js'
import { ScriptedStore } from './scripted-store.js'

const EVENTUAL = { consistency: 'eventual' } as const
const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes)

/** A client of the leader, and one of a follower that hears nothing until `heal`. */
async function apart() {
  const servers = new MemoryServers(3)
  const [leader, follower] = [servers.elect(), servers.follower()]
  const [here, there] = [clientOf(servers, leader), clientOf(servers, follower)]
  const now = <Value>(call: Promise<Value>): Promise<Value> => done(servers, call)
  const { revision } = await now(here.put('key', 'old'))
  servers.until(() => follower.keyValues.revision === revision, 'the follower has it')
  servers.network.isolate(follower.id, 'silent')
  const heal = (): void => servers.network.heal()
  /** What a call comes to that waits until the follower hears of the others again. */
  const later = async <Value>(call: Promise<Value>): Promise<Value> => {
    const outcome = new Outcome<Value>()
    call.then(outcome.resolve, outcome.reject)
    servers.advance(50)
    await Promise.resolve()
    expect(outcome.now).toBe('pending')
    heal()
    return now(call)
  }
  return { servers, leader, follower, here, there, now, later, heal }
}

const valueOf = async (client: ClientApi) => text(await client.getEventual('key'))

describe('a causal view', () => {
  it('reads its own writes, on whichever server', async () => {
    const { here, there, now, later } = await apart()
    const view = here.causal()
    await now(view.put('key', 'new'))
    expect(await valueOf(there)).toBe('old')
    expect(await later(valueOf(there.causal({ since: view.revision })))).toBe('new')
  })

  it('never goes back, not even on a key that is gone', async () => {
    const { here, there, now, later } = await apart()
    const view = here.causal()
    await now(here.delete('key'))
    expect(await valueOf(view)).toBeUndefined()
    expect(await valueOf(there)).toBe('old')
    expect(await later(valueOf(there.causal({ since: view.revision })))).toBeUndefined()
  })

  it('hands on what it has seen as a number, which what it sees later does not change', async () => {
    const { here, now } = await apart()
    const view = here.causal()
    const { revision } = await now(view.put('key', 'new'))
    const since: unknown = JSON.parse(JSON.stringify(view.revision))
    expect(since).toBe(revision)
    await now(view.put('key', 'newer'))
    expect(here.causal({ since: revision }).revision).toBe(revision)
  })

  it('waits for nothing that is not to be seen: what is linearizable, what was so at a revision, the past of a watch', async () => {
    const { here, there, now, follower } = await apart()
    const { revision } = await now(here.put('key', 'new'))
    const view = there.causal({ since: revision })
    const past = follower.keyValues.revision
    expect(text(await now(view.get('key', { ...EVENTUAL, revision: past })))).toBe('old')
    const watch = view.watch('key', { fromRevision: past })
    const { value } = await now(watch[Symbol.asyncIterator]().next())
    expect(value).toMatchObject({ revision: past })
    const alone = lone()
    expect(await alone.now(alone.client.causal({ since: 1000 }).get('key'))).toBeUndefined()
  })

  it('that waits for what never comes fails when the time of the read is up, and says for what it waited', async () => {
    const { client, now } = lone()
    const call = client.causal({ since: 1_000_000 }).getEventual('key', { timeoutMs: 100 })
    await expect(now(call)).rejects.toThrow('revision 1000000')
    await expect(now(call)).rejects.toMatchObject({ code: 'TIMEOUT' })
  })

  it('leaves a bound that its caller gives, where that is higher', async () => {
    const { client, now } = lone()
    const { revision } = await now(client.put('key', 'value'))
    const view = client.causal({ since: revision })
    const ahead = view.get('key', { ...EVENTUAL, minRevision: revision + 1000, timeoutMs: 100 })
    await expect(now(ahead)).rejects.toMatchObject({ code: 'TIMEOUT' })
    expect(text(await view.get('key', { ...EVENTUAL, minRevision: 1 }))).toBe('value')
  })

  it('refuses what is no revision', async () => {
    const { client } = lone()
    for (const since of [-1, 1.5, NaN])
      expect(() => client.causal({ since })).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    const misspelt: object = { sinse: 7 }
    expect(() => client.causal(misspelt)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    const read = client.causal().get('key', { ...EVENTUAL, minRevision: -1 })
    await expect(read).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('what a causal view has seen', () => {
  const calls: Readonly<Record<string, (view: CausalView) => Promise<unknown>>> = {
    'a write': (view) => view.put('other', 'value'),
    'a write that found nothing to do': (view) => view.compareAndSwap('key', 'no such value', 'value'),
    'a transaction': (view) => view.txn().if(compare.exists('none')).then(op.delete('none')).commit(),
    'a lease that it granted': (view) => view.grantLease(5000, { keepAlive: false }),
    'a linearizable read': (view) => view.get('key'),
    'an eventual read of a key that there is not': (view) => view.getEventual('none'),
    'several keys': (view) => view.getMulti(['key', 'none'], EVENTUAL),
    'an entry that there is not': (view) => view.getEntry('none', EVENTUAL),
    'a range': (view) => view.range(EVENTUAL),
    'a state to observe': (view) => view.observe('key')[Symbol.asyncIterator]().next(),
    'the leases': (view) => view.leases(EVENTUAL),
    'a namespace of it': (view) => view.namespace('n/').getEventual('none'),
    'a session of it': (view) => view.openSession(),
  }

  it.each(Object.entries(calls))('counts %s', async (_, call) => {
    const { client, server, now } = lone()
    await now(client.put('key', 'value'))
    await now(client.put('later', 'value'))
    const view = client.causal()
    expect(view.revision).toBe(0)
    await now(call(view))
    expect(view.revision).toBe(server.keyValues.revision)
  })

  it('counts what was watched', async () => {
    const { client, now } = lone()
    const view = client.causal()
    const watch: Watch = view.watch('key')
    const { revision } = await now(client.put('key', 'value'))
    await now(watch[Symbol.asyncIterator]().next())
    expect(view.revision).toBe(revision)
    await now(client.put('none of those', 'value'))
    expect(view.revision).toBe(revision)
  })

  it('does not count what another client did, nor more than a read of the past has shown', async () => {
    const { client, now } = lone()
    const { revision } = await now(client.put('key', 'value'))
    await now(client.put('key', 'newer'))
    const view = client.causal()
    await now(view.get('key', { revision }))
    expect(view.revision).toBe(revision)
  })

  it('does not count a write of unknown outcome, nor one that failed', () => {
    const below = new ScriptedStore()
    const store = new CausalStore(below, 3)
    const outcome = new Outcome<unknown>()
    for (const code of ['OUTCOME_UNKNOWN', 'BUSY', 'LEASE_NOT_FOUND'] as const) {
      store.propose({ type: 'delete', key: 'key' }, undefined, outcome)
      below.last.fail(code)
      expect([outcome.now, store.seenRevision]).toEqual([code, 3])
    }
  })

  it('never goes down: an answer that comes late is no step back', () => {
    const below = new ScriptedStore()
    const store = new CausalStore(below, 3)
    for (const revision of [9, 4]) {
      store.propose({ type: 'delete', key: 'key' }, undefined, new Outcome<unknown>())
      below.last.answer({ deleted: true, revision })
    }
    expect(store.seenRevision).toBe(9)
  })
})

describe('what is made of a causal view', () => {
  it('sees no less than the view: a namespace, a session, another view', async () => {
    const { here, there, now, heal } = await apart()
    const { revision } = await now(here.put('n/key', 'new'))
    const view = there.causal({ since: revision })
    const within = [view.namespace('n/'), view.causal().namespace('n/'), view.namespace('n/').causal()]
    const reads = within.map((client) => client.getEventual('key'))
    heal()
    const session = await now(view.openSession())
    reads.push(session.namespace('n/').getEventual('key'))
    for (const read of reads) expect(text(await now(read))).toBe('new')
  })

  it('counts for the view, and a view of a session or namespace is one of theirs', async () => {
    const { client, server, now } = lone()
    const view = client.causal()
    const session = await now(view.openSession())
    await now(session.put('key', 'value'))
    expect(view.revision).toBe(server.keyValues.revision)
    const deeper = session.namespace('n/').causal()
    expect(deeper.revision).toBe(view.revision)
    const { revision } = await now(deeper.put('key', 'value'))
    expect([deeper.revision, view.revision]).toEqual([revision, revision])
    expect(text(await now(client.get('n/key')))).toBe('value')
  })

  it('watches from now on: from after what the view has seen, where its server is behind', async () => {
    const { here, there, now, heal } = await apart()
    const { revision } = await now(here.put('key', 'seen'))
    const watch = there.causal({ since: revision }).watch('key')
    heal()
    const next = await now(here.put('key', 'new'))
    const { value } = await now(watch[Symbol.asyncIterator]().next())
    expect(value).toMatchObject({ revision: next.revision })
  })

  it('observes a state no older than what the view has seen', async () => {
    const { here, there, now, later } = await apart()
    const { revision } = await now(here.put('key', 'new'))
    const events = there.causal({ since: revision }).observe('key')[Symbol.asyncIterator]()
    const { value } = await later(events.next())
    expect(value?.type === 'state' && text(value.entries[0]?.value)).toBe('new')
  })

  it('closes alone, and with the client beneath it', async () => {
    const { client, now } = lone()
    const [first, second] = [client.causal(), client.causal()]
    await first.close()
    await expect(first.get('key')).rejects.toMatchObject({ code: 'STOPPED' })
    await now(second.put('key', 'value'))
    await client.close()
    await expect(second.getEventual('key')).rejects.toMatchObject({ code: 'STOPPED' })
    expect(() => client.causal()).toThrow(expect.objectContaining({ code: 'STOPPED' }))
  })
})
