import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EmbeddedEngine, Leadership, Membership } from '../../src/index.js'
import { freeAddress, text } from './engine-place.js'
import { isSettled, JoinedServers, leaderAmong, votersOf } from './joined-servers.js'
import { until } from './websocket-subject.js'

let servers: JoinedServers

beforeEach(async () => {
  servers = await JoinedServers.make()
})

afterEach(() => servers.place.dispose())

function code(expected: string): unknown {
  return expect.objectContaining({ code: expected })
}

function othersThan(engine: EmbeddedEngine, engines: readonly EmbeddedEngine[]): EmbeddedEngine[] {
  return engines.filter((other) => other !== engine)
}

describe('servers that join', () => {
  it('make one server three while a client writes all the while, and none of its writes fails', async () => {
    const one = await servers.first()
    const starting = [servers.join(2), servers.join(3)]
    let written = 0
    while (votersOf(one).length < 3) await one.client.put(`key-${written++}`, 'value')
    const [, three] = await Promise.all(starting)
    await three!.ready()
    for (const key of ['key-0', `key-${written - 1}`]) expect(text(await three!.client.get(key))).toBe('value')
    expect(three!.members().map(({ id, role }) => `${id} ${role}`)).toEqual(['1 voter', '2 voter', '3 voter'])
    expect(three!.status().clusterId).toBe(one.status().clusterId)
  })

  it('find the leader through a server that does not lead', async () => {
    const [one, two] = await servers.grown(2)
    const follower = leaderAmong([one!, two!]) === one ? two! : one!
    const listen = await servers.addressOf(3)
    const join = [await servers.addressOf(follower.id)]
    const three = await servers.place.start({
      id: 3,
      dataDir: servers.place.directory(3),
      listen,
      join,
      promotionAfterMs: 0,
    })
    await until(() => votersOf(three).length === 3, 'it votes')
  })

  it('are known where members says, though they listen on every address', async () => {
    const one = await servers.first()
    const address = await servers.addressOf(2)
    const two = await servers.join(2, {
      listen: address.replace('127.0.0.1', '0.0.0.0'),
      members: [{ id: 2, address }],
    })
    await until(() => votersOf(two).length === 2, 'it votes')
    expect(one.members()[1]).toMatchObject({ id: 2, address })
  })

  it('say what keeps them while nobody answers', async () => {
    const join = [await freeAddress()]
    await servers.place.start({ id: 2, dataDir: servers.place.directory(2), listen: await freeAddress(), join })
    await until(() => servers.isTold('server 2 has not joined the cluster yet'), 'it is told')
  })

  it('that are not let in say why when somebody waits for them to be ready', async () => {
    await servers.first({ clusterId: 'ours' })
    const two = await servers.join(2, { clusterId: 'theirs' })
    await until(() => servers.isTold('server 2 belongs to cluster theirs, server 1 to ours'), 'it is told')
    const why = expect.stringMatching(/not joined the cluster yet: .*cluster theirs, server 1 to ours/) as string
    await expect(two.ready({ timeoutMs: 10 })).rejects.toMatchObject({ code: 'NO_LEADER', message: why })
  })

  it('say so when their directory is a cluster by itself, and go on as that', async () => {
    await servers.first()
    const dataDir = servers.place.directory(2)
    const listen = await servers.addressOf(2)
    const before = await servers.place.start({ id: 2, dataDir, listen })
    await before.ready()
    await before.stop()
    const two = await servers.join(2)
    expect(servers.isTold('server 2 is a cluster by itself')).toBe(true)
    await two.ready()
    expect(votersOf(two)).toEqual([2])
  })

  it('say so when nobody reaches them where they were let in, and are not let in again once they are removed', async () => {
    const one = await servers.first()
    const nowhere = await freeAddress()
    const two = await servers.join(2, { members: [{ id: 2, address: nowhere }] })
    const said = `server 2 was let in at ${nowhere}, but no member has reached it there yet`
    await until(() => servers.isTold(said), 'it is told')
    expect(one.members()[1]).toMatchObject({ id: 2, address: nowhere })
    await one.changeMembership({ remove: [2] })
    await until(() => servers.isTold('server 2 was removed by entry'), 'it has asked again')
    await expect(two.ready()).rejects.toEqual(code('REFUSED'))
    expect(votersOf(one)).toEqual([1])
    expect(one.members()).toHaveLength(1)
  })

  it('listen only when they are readOnly, until they are promoted by call', async () => {
    const one = await servers.first()
    const two = await servers.join(2, { joinAs: 'readOnly' })
    const { revision } = await one.client.put('key', 'value')
    await until(() => two.status().lastApplied >= revision, 'it has the write')
    expect(one.members()[1]).toMatchObject({ id: 2, role: 'readOnly', isLeader: false })
    expect(text(await two.client.get('key'))).toBe('value')
    // It applies entries that its own disk does not hold yet, and answers for them only then.
    let promoted = false
    const promote = (): void => {
      one.changeMembership({ promote: [2] }).then(
        () => (promoted = true),
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'REFUSED' })
          setTimeout(promote, 20)
        },
      )
    }
    promote()
    await until(() => promoted, 'the leader has heard of it')
    expect(votersOf(one)).toEqual([1, 2])
  })

  it('are refused by a cluster with another id than they ask for', async () => {
    await servers.first({ clusterId: 'ours' })
    await servers.join(2, { clusterId: 'theirs' })
    await until(() => servers.isTold('server 2 belongs to cluster theirs, server 1 to ours'), 'it is told')
  })
})

describe('a server that is removed', () => {
  it('is told, and campaigns no more', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const [stays, leaves] = othersThan(leader, engines)
    const roles = new Set<string>()
    await leader.changeMembership({ remove: [leaves!.id] })
    await until(() => !leaves!.members().some(({ id }) => id === leaves!.id), 'it knows')
    leaves!.roleActor.subscribe(() => roles.add(leaves!.role))
    const { term } = leader
    // Its absence from elections shows only over time: longer than any election timeout.
    const until3T = performance.now() + 3 * 400
    while (performance.now() < until3T) await leader.client.put('key', 'value')
    expect([...roles].filter((role) => role !== 'follower')).toEqual([])
    expect(leader.term).toBe(term)
    expect(votersOf(stays!)).not.toContain(leaves!.id)
  })

  it('tells its people and refuses what needs the leader', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const [, leaves] = othersThan(leader, engines)
    const { id } = leaves!
    await leader.changeMembership({ remove: [id] })
    await until(() => leaves!.health().reasons.some(({ code }) => code === 'REMOVED'), 'its health says so')
    expect(servers.isTold(`server ${id} was removed from the cluster by entry`)).toBe(true)
    await expect(leaves!.client.put('key', 'value')).rejects.toThrow(/was removed from the cluster by entry/)
    await expect(leaves!.client.get('key')).rejects.toEqual(code('REFUSED'))
    await expect(leaves!.changeMembership({ addLearners: [] })).rejects.toEqual(code('REFUSED'))
    expect(await leaves!.client.getEventual('key')).toBeUndefined()
  })

  it('does not come back by itself when it is started again, whatever its options', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const [, leaves] = othersThan(leader, engines)
    const { id } = leaves!
    await leader.changeMembership({ remove: [id] })
    await until(() => !leaves!.members().some((member) => member.id === id), 'it knows')
    await leaves!.stop()
    const listen = await servers.addressOf(id)
    const options = { id, dataDir: servers.place.directory(id), listen }
    for (const join of [undefined, [await servers.addressOf(leader.id)]]) {
      servers.place.notices.length = 0
      const again = await servers.place.start({ ...options, ...(join && { join }) })
      await until(() => servers.isTold(`server ${id} was removed by entry`), 'it is told')
      await until(() => again.health().reasons.some(({ code }) => code === 'REMOVED'), 'its health says so')
      await expect(again.ready()).rejects.toEqual(code('REFUSED'))
      expect(votersOf(leader)).not.toContain(id)
      await again.stop()
    }
    const anew = await servers.join(id, { dataDir: servers.place.directory(id + 10) })
    await until(() => votersOf(anew).includes(id), 'with an empty directory it is let in')
  })

  it('is told though it was down, also where it listens elsewhere now', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const [, leaves] = othersThan(leader, engines)
    const { id } = leaves!
    await leaves!.stop()
    await leader.changeMembership({ remove: [id] })
    for (const listen of [await servers.addressOf(id), await freeAddress()]) {
      const again = await servers.place.start({ id, dataDir: servers.place.directory(id), listen })
      await until(() => again.health().reasons.some(({ code }) => code === 'REMOVED'), 'its health says so')
      await expect(again.client.put('key', 'value')).rejects.toEqual(code('REFUSED'))
      expect(leader.members().map((member) => member.id)).not.toContain(id)
      await again.stop()
    }
  })

  it('may be the leader: it sees the change through, and another leads', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const rest = othersThan(leader, engines)
    const { index } = await leader.changeMembership({ remove: [leader.id] })
    expect(index).toBeGreaterThan(0)
    await until(() => rest.some(({ isLeader }) => isLeader), 'another leads')
    expect(leader.isLeader).toBe(false)
    await rest[0]!.client.put('key', 'value')
    expect(votersOf(rest[0]!)).toEqual(rest.map(({ id }) => id))
  })

  it('can be replaced in one change, asked for on a follower', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const [asked, leaves] = othersThan(leader, engines)
    const four = await servers.join(4, { joinAs: 'readOnly' })
    await until(() => votersOf(four).length === 3 && isSettled(leader), 'server 4 is a learner')
    await asked!.changeMembership({ promote: [4], remove: [leaves!.id] })
    await until(() => four.leaderId !== undefined && votersOf(four).includes(4), 'server 4 votes')
    expect(votersOf(asked!)).toEqual([leader.id, asked!.id, 4].sort())
  })
})

describe('a server that moved', () => {
  it('is reached at its new address after a restart there', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const moves = othersThan(leader, engines)[0]!
    await moves.stop()
    const listen = await freeAddress()
    const dataDir = servers.place.directory(moves.id)
    const moved = await servers.place.start({
      id: moves.id,
      dataDir,
      listen,
      join: [await servers.addressOf(leader.id)],
    })
    await until(() => leader.members().find(({ id }) => id === moved.id)?.address === listen, 'the log has it')
    const { revision } = await leader.client.put('key', 'value')
    await until(() => moved.status().lastApplied >= revision, 'it has the write')
  })
})

describe('a lone voter that moved', () => {
  it('writes that down by itself, whoever listens to it', async () => {
    const one = await servers.first()
    const two = await servers.join(2, { joinAs: 'readOnly' })
    await until(() => one.members().length === 2 && isSettled(one), 'server 2 listens')
    await one.stop()
    const listen = await freeAddress()
    const moved = await servers.place.start({ listen })
    await until(() => moved.members()[0]?.address === listen, 'its log has it')
    const { revision } = await moved.client.put('key', 'value')
    expect(revision).toBeGreaterThan(0)
    await two.stop()
  })
})

describe('a server that was away', () => {
  it('finds the others when all whom it knew have left', async () => {
    const engines = await servers.grown(3)
    const away = othersThan(leaderAmong(engines), engines)[0]!
    await away.stop()
    const four = await servers.join(4)
    const old = othersThan(away, engines)
    await until(
      () => [...old, four].every((engine) => votersOf(engine).includes(4) && isSettled(engine)),
      'server 4 votes',
    )
    // What would be left of the voters has no majority without the one that is away: it only listens from now on.
    await leaderAmong(old).changeMembership({ demote: [away.id], remove: old.map(({ id }) => id) })
    await until(() => four.isLeader, 'server 4 leads')
    for (const engine of old) await engine.stop()
    const { revision } = await four.client.put('key', 'value')
    const dataDir = servers.place.directory(away.id)
    const back = await servers.place.start({ id: away.id, dataDir, listen: await servers.addressOf(away.id) })
    await until(() => back.status().lastApplied >= revision, 'it has the write')
    expect(back.leaderId).toBe(4)
  })
})

describe('a server whose disk was wiped', () => {
  it('is refused under its old id, with words, until it is removed', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const wiped = othersThan(leader, engines)[0]!
    await wiped.stop()
    const blank = await servers.join(wiped.id, { dataDir: servers.place.directory('blank') })
    await until(() => servers.isTold('it was wiped or replaced'), 'it is told')
    expect(blank.status().lastLogIndex).toBe(0)
    await leader.changeMembership({ remove: [wiped.id] })
    await until(() => votersOf(blank).length === 3, 'it joins anew')
  })

  it('is not heard when it claims to be a member from the start', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const wiped = othersThan(leader, engines)[0]!
    const members = leader.members().map(({ id, address }) => ({ id, address }))
    await wiped.stop()
    const listen = await servers.addressOf(wiped.id)
    const blank = await servers.place.start({
      id: wiped.id,
      dataDir: servers.place.directory('blank'),
      listen,
      members,
    })
    await until(() => servers.isTold('it was wiped or replaced'), 'it is told')
    expect(blank.status().lastLogIndex).toBe(0)
    expect(blank.leaderId).toBeUndefined()
  })
})

describe('leadership', () => {
  it('goes to the server that is named, and every server tells', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const next = othersThan(leader, engines)[1]!
    const told: Leadership[] = []
    next.leadership$.subscribe((leadership) => told.push(leadership))
    expect(told).toEqual([{ leaderId: leader.id, term: leader.term }])
    await leader.transferLeadership(next.id)
    await until(() => next.isLeader, 'it leads')
    await until(() => told.at(-1)?.leaderId === next.id, 'it is told')
  })

  it('is not handed over by a server that has none, nor to one that cannot take it', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const follower = othersThan(leader, engines)[0]!
    await expect(follower.transferLeadership()).rejects.toMatchObject({ code: 'NOT_LEADER', leaderId: leader.id })
    await expect(leader.transferLeadership(9)).rejects.toEqual(code('REFUSED'))
    await expect(leader.transferLeadership(NaN)).rejects.toEqual(code('INVALID_ARGUMENT'))
    await leader.transferLeadership(leader.id)
    expect(leader.isLeader).toBe(true)
  })

  it('is not handed over by a server that knows no leader, which says so', async () => {
    const join = [await freeAddress()]
    const two = await servers.join(2, { join })
    await expect(two.transferLeadership()).rejects.toMatchObject({
      code: 'NOT_LEADER',
      message: expect.stringMatching(/server 2 does not lead, .*; it knows no leader at the moment$/) as string,
      leaderId: undefined,
    })
  })
})

describe('watchMembership', () => {
  it('tells the present first, then each change, and ends with the engine', async () => {
    const one = await servers.first()
    const told: Membership[] = []
    let hasEnded = false
    one.watchMembership().subscribe({ next: (membership) => told.push(membership), complete: () => (hasEnded = true) })
    expect(told).toMatchObject([{ voters: [1], learners: [], leaderId: 1 }])
    const two = await servers.join(2, { joinAs: 'readOnly' })
    await until(() => told.at(-1)?.learners.includes(2) === true, 'it is told')
    expect(told.every(({ index }, at) => at === 0 || index >= told[at - 1]!.index)).toBe(true)
    await two.stop()
    await one.stop()
    expect(hasEnded).toBe(true)
  })
})

describe('a change of the membership', () => {
  it('is refused while another is under way', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const [one, other] = othersThan(leader, engines)
    const first = leader.changeMembership({ remove: [one!.id] })
    await expect(leader.changeMembership({ remove: [other!.id] })).rejects.toEqual(code('REFUSED'))
    await first
  })

  it('is refused when no quorum of what it leads to can be reached, unless it is forced', async () => {
    const one = await servers.first()
    const address = await freeAddress()
    await one.changeMembership({ addLearners: [{ id: 2, address, promotable: false }] })
    await expect(one.changeMembership({ promote: [2] })).rejects.toEqual(code('REFUSED'))
    await one.client.put('key', 'value')
    expect(votersOf(one)).toEqual([1])
  })

  it('is refused when it makes no sense, and says why', async () => {
    const one = await servers.first()
    await expect(one.changeMembership({ remove: [9] })).rejects.toThrow(/server 9 is no member/)
    await expect(one.changeMembership({ remove: [1] })).rejects.toThrow(/without a voter/)
    await expect(one.changeMembership({ promote: [1] })).rejects.toEqual(code('REFUSED'))
    await expect(one.changeMembership({ remove: [0] })).rejects.toEqual(code('INVALID_ARGUMENT'))
    await expect(one.changeMembership({ addLearners: [{ id: 2, address: 'nowhere' }] })).rejects.toEqual(
      code('INVALID_ARGUMENT'),
    )
    await expect(one.changeMembership({ demote: [2] })).rejects.toEqual(code('REFUSED'))
    const address = await freeAddress()
    await expect(one.changeMembership({ addLearners: [{ id: 1, address }] })).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining('server 1 is a voter already') as string,
    })
    await expect(one.changeMembership(Object.assign({ promote: [] }, { removed: [1] }))).rejects.toThrow(
      /have no "removed"; did you mean remove/,
    )
    expect(votersOf(one)).toEqual([1])
  })

  it('is judged by the leader, on whichever server it is asked for', async () => {
    const engines = await servers.grown(3)
    const leader = leaderAmong(engines)
    const [follower, other] = othersThan(leader, engines)
    const { address } = leader.members().find(({ id }) => id === other!.id)!
    const adding = follower!.changeMembership({ addLearners: [{ id: other!.id, address }] })
    await expect(adding).rejects.toThrow(/is a voter already; to make it a learner, demote it/)
    await follower!.changeMembership({ demote: [other!.id] })
    await until(() => !votersOf(leader).includes(other!.id), 'it only listens')
    expect(leader.members().find(({ id }) => id === other!.id)).toMatchObject({ address, role: 'readOnly' })
    const again = follower!.changeMembership({ demote: [other!.id] })
    await expect(again).rejects.toMatchObject({
      code: 'REFUSED',
      message: expect.stringContaining('no voter') as string,
    })
  })

  it('writes nothing that no server could start on', async () => {
    const one = await servers.first()
    const learner = { id: 2, address: await freeAddress() }
    const bad: unknown[] = [null, 0, 'yes'].map((promotable) => ({ ...learner, promotable }))
    const unknown: unknown = { ...learner, readOnly: true }
    for (const member of [...bad, unknown]) {
      const change = { addLearners: [member] } as Parameters<EmbeddedEngine['changeMembership']>[0]
      await expect(one.changeMembership(change)).rejects.toEqual(code('INVALID_ARGUMENT'))
    }
    for (const change of [[], { promote: new Array(1) }, { remove: 'all' }] as unknown[] as Record<string, []>[]) {
      await expect(one.changeMembership(change)).rejects.toEqual(code('INVALID_ARGUMENT'))
    }
    expect(one.members()).toHaveLength(1)
    await one.stop()
    await (await servers.first()).client.put('key', 'value')
  })

  it('is waited for as long as the caller likes', async () => {
    const one = await servers.first()
    await servers.join(2, { joinAs: 'readOnly' })
    await until(() => one.members().length === 2 && isSettled(one), 'server 2 listens')
    const aborted = AbortSignal.abort('enough')
    await expect(one.changeMembership({ remove: [2] }, { signal: aborted })).rejects.toEqual(code('ABORTED'))
    expect(one.members()).toHaveLength(2)
    const controller = new AbortController()
    const late = one.changeMembership({ remove: [2] }, { signal: controller.signal })
    await Promise.resolve()
    controller.abort()
    await expect(late).rejects.toEqual(code('ABORTED'))
  })

  it('that changes nothing is done at once', async () => {
    const one = await servers.first()
    expect(await one.changeMembership({})).toEqual({ index: expect.any(Number) as number })
  })
})

describe('snapshots', () => {
  it('bring a server back, with the log after them', async () => {
    const one = await servers.first({ logEntriesKept: 0 })
    for (let at = 0; at < 50; at++) await one.client.put(`key-${at}`, 'before')
    const first = await one.snapshot()
    await one.client.put('key-0', 'between')
    const second = await one.snapshot()
    expect(second.index).toBeGreaterThan(first.index)
    await one.client.put('key-1', 'after')
    await one.stop()
    const again = await servers.first()
    expect(text(await again.client.get('key-0'))).toBe('between')
    expect(text(await again.client.get('key-1'))).toBe('after')
    expect(text(await again.client.get('key-49'))).toBe('before')
  })

  it('are taken once for as long as nothing is applied', async () => {
    const one = await servers.first()
    await until(() => one.members()[0]?.id === 1 && one.status().lastApplied >= 2, 'its own store is written down')
    const [first, second] = await Promise.all([one.snapshot(), one.snapshot()])
    expect(second).toEqual(first)
    expect(await one.snapshot()).toEqual(first)
  })

  it('bring up a follower that is behind what the log still has', async () => {
    const more = { logEntriesKept: 0, snapshotChunkBytes: 1024 }
    const engines = await servers.grown(3, more)
    const leader = leaderAmong(engines)
    const behind = othersThan(leader, engines)[0]!
    const applied = behind.status().lastApplied
    await behind.stop()
    for (const value of ['one', 'two', 'three']) {
      await Promise.all(Array.from({ length: 100 }, (_, at) => leader.client.put(`key-${at}`, value.repeat(50))))
      await leader.snapshot()
    }
    const again = await servers.join(behind.id, more)
    await until(() => again.roleActor.getSnapshot().context.log.boundary.index > applied, 'its log begins anew')
    await again.ready()
    expect(text(await again.client.get('key-99'))).toBe('three'.repeat(50))
  })
})
