import { describe, expect, it } from 'vitest'
import { checkIdentity } from '../../src/engine-identity.js'
import type { Configuration, Member } from '../../src/machines/types.js'
import { type EngineOptions, ownAddress, validateOptions } from '../../src/options.js'

const HERE = '10.0.0.3:9081'
const THERE = '10.0.0.4:9081'
const OTHER = { id: 1, address: '10.0.0.1:9081' }

/** Server 3, which finds these members in its log. */
function starts(options: Partial<EngineOptions>, logged: readonly Member[], fresh = false) {
  const told: string[] = []
  const resolved = validateOptions({ dataDir: './data', id: 3, log: ({ message }) => told.push(message), ...options })
  const configuration: Configuration = { voters: logged.map(({ id }) => id), learners: [], members: logged }
  const boundary = { index: 0, term: 0, checksum: 0, clusterTime: 0, configuration }
  checkIdentity(resolved, { fresh, clusterId: undefined, boundary, configurations: [] })
  return { told, address: ownAddress(resolved, logged) }
}

describe('where a server is to be reached', () => {
  const membersAt = (address: string) => [OTHER, { id: 3, address }]

  it('is where it listens, if members says nothing else', () => {
    expect(starts({ listen: HERE }, membersAt(THERE)).address).toBe(HERE)
    expect(starts({ listen: HERE, members: membersAt(HERE) }, membersAt(THERE)).address).toBe(HERE)
  })

  it('is where members says, as by a proxy', () => {
    expect(starts({ listen: HERE, members: membersAt(THERE) }, membersAt(THERE)).address).toBe(THERE)
    expect(starts({ listen: HERE, members: membersAt(THERE) }, membersAt('10.0.0.5:9081')).address).toBe(THERE)
  })

  it('stays where it listens once the log has it there, whatever members says', () => {
    const { told, address } = starts({ listen: HERE, members: membersAt(THERE) }, membersAt(HERE))
    expect(address).toBe(HERE)
    expect(told).toEqual([expect.stringMatching(/but the log in .* says .*; the log rules$/)])
  })

  it('is not every address of its machine, though the log has it so: members then puts that right', () => {
    const everywhere = '0.0.0.0:9081'
    expect(starts({ listen: everywhere, members: membersAt(THERE) }, membersAt(everywhere)).address).toBe(THERE)
  })

  it('is said to change where it does: there the log does not rule', () => {
    const { told } = starts({ listen: HERE, members: membersAt(HERE) }, membersAt(THERE))
    expect(told).toEqual([
      expect.stringMatching(/the log rules, and gets server 3's address from here: 10.0.0.3:9081$/),
    ])
  })
})

describe('a server that listens elsewhere than it is known', () => {
  const members = [OTHER, { id: 3, address: THERE }]
  const said = `server 3 listens on ${HERE}, but is known at ${THERE}, as the option members has it`

  it('says so, and what to do if it has moved', () => {
    expect(starts({ listen: HERE, members }, members).told).toEqual([
      `${said}: unless ${THERE} leads to ${HERE}, by a proxy or another name, name ${HERE} in members too`,
    ])
  })

  it('says nothing at its first start, nor where it listens on every address', () => {
    expect(starts({ listen: HERE, members }, members, true).told).toEqual([])
    expect(starts({ listen: '0.0.0.0:9081', members }, members).told).toEqual([])
    expect(starts({ listen: '[::]:9081', members }, members).told).toEqual([])
  })

  it('says nothing where it has that changed', () => {
    expect(starts({ listen: HERE }, members).told).toEqual([])
  })
})

describe('a server that shall join', () => {
  const alone = [{ id: 3, address: HERE }]
  const join = [OTHER.address]

  it('says that it joins nobody where its directory is a cluster by itself', () => {
    const said = 'server 3 is a cluster by itself, as ./data has it, and joins nobody'
    const advice = `to have it join ${OTHER.address}, give it an empty directory`
    expect(starts({ listen: HERE, join }, alone).told).toEqual([`${said}: ${advice}`])
  })

  it('says nothing of the kind with an empty directory, once it has joined, or where it names itself alone', () => {
    expect(starts({ listen: HERE, join }, [], true).told).toEqual([])
    expect(starts({ listen: HERE, join }, []).told).toEqual([])
    expect(starts({ listen: HERE, join }, [OTHER]).told).toEqual([])
    expect(starts({ listen: HERE, join }, [OTHER, ...alone]).told).toEqual([])
    expect(starts({ listen: HERE, join: [HERE] }, alone).told).toEqual([])
  })
})
