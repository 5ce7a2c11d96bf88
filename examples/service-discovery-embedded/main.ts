// Instances of a service come and go, and whoever looks for them has a list that is always up to date.
// Ends by itself, and leaves no file behind.
import { discover, register, type ServiceInstance } from 'actorum'
import { chapter, cyan, dim, line, milliseconds, strong, title } from '../story/terminal.js'
import { textOf, ThreeServers } from '../story/three-servers.js'

const TTL_MS = 1500

function shown(instances: readonly ServiceInstance[]): string {
  if (instances.length === 0) return dim('nobody')
  return instances.map(({ instance, value }) => `${instance} ${cyan(textOf(value))}`).join('   ')
}

title('Service discovery', 'instances register themselves, and are gone when they no longer give a sign of life')
await using servers = await ThreeServers.prepare()
const [first, second, third] = await servers.start(1, 2, 3)
if (first === undefined || second === undefined || third === undefined) throw new Error('three servers were asked for')

chapter('Somebody looks for the service "api", at server 1')
const services = discover(first.client, 'api')
let latest: readonly ServiceInstance[] | undefined
const looking = (async () => {
  for await (const instances of services) {
    latest = instances
    line(`the list: ${shown(instances)}`)
  }
})()

async function until(condition: (list: readonly ServiceInstance[]) => boolean): Promise<void> {
  while (latest === undefined || !condition(latest)) await new Promise((resolve) => setTimeout(resolve, 5))
}

await until((list) => list.length === 0)

chapter('Two instances start, with servers 2 and 3')
const blue = await register(second.client, 'api', 'blue', '10.0.0.2:80', { ttlMs: TTL_MS })
await until((list) => list.length === 1)
await register(third.client, 'api', 'green', '10.0.0.3:80', { ttlMs: TTL_MS })
await until((list) => list.length === 2)

chapter('blue moves to another address')
await blue.update('10.0.0.9:80')
await until((list) => list.some(({ value }) => textOf(value) === '10.0.0.9:80'))

chapter(`green is gone without a word; its time to live is ${TTL_MS} ms`)
const began = performance.now()
await third.stop()
await until((list) => list.length === 1)
line(`off the list ${milliseconds(performance.now() - began)} later`)

chapter('blue says goodbye')
const released = performance.now()
await blue.release()
await until((list) => list.length === 0)
line(strong(`off the list ${milliseconds(performance.now() - released)} later`))

services.cancel()
await looking
