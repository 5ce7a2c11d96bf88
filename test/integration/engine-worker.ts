import { ActorumError, EmbeddedEngine, type EngineOptions } from '../../src/index.js'
import type { WorkerReply, WorkerRequest } from './engine-worker-handle.js'

// An engine in a process of its own, which answers to its parent and can be killed.

const options = JSON.parse(process.argv[2] ?? '{}') as EngineOptions

function codeOf(error: unknown): string {
  return error instanceof ActorumError ? error.code : String(error)
}

function reply(message: WorkerReply): void {
  process.send?.(message)
}

async function perform(engine: EmbeddedEngine, { method, args }: WorkerRequest): Promise<unknown> {
  const [key = '', value = ''] = args
  switch (method) {
    case 'put':
      return engine.client.put(key, value)
    case 'get': {
      const found = await engine.client.get(key)
      return found && new TextDecoder().decode(found)
    }
    case 'leaderId':
      return engine.ready().then(() => engine.leaderId)
  }
}

try {
  const engine = await EmbeddedEngine.start({ ...options, log: () => undefined })
  process.on('message', (request: WorkerRequest) => {
    void perform(engine, request).then(
      (value) => reply({ call: request.call, value }),
      (error: unknown) => reply({ call: request.call, code: codeOf(error) }),
    )
  })
  process.on('disconnect', () => process.exit(0))
  reply({ call: 0 })
} catch (error) {
  reply({ call: 0, code: codeOf(error) })
  process.disconnect()
}
