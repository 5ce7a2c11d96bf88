/** The questions a parent may ask of a child process, each with what goes and what comes back (both plain data). */
export type Protocol<Self> = { [Name in keyof Self]: { ask: unknown; reply: unknown } }

export interface Question {
  readonly id: number
  readonly name: string
  readonly ask: unknown
}

export type Answer =
  | { readonly id: number; readonly reply: unknown }
  | { readonly id: number; readonly failure: string }
  | { readonly notice: unknown }

export type Handlers<P extends Protocol<P>> = {
  [Name in keyof P]: (ask: P[Name]['ask']) => P[Name]['reply'] | Promise<P[Name]['reply']>
}

/** In a child: answers the parent's questions until the parent is gone, then ends this process. */
export function answerParent<P extends Protocol<P>>(handlers: Handlers<P>): void {
  process.on('message', (question: Question) => {
    void answer(handlers, question).then(tellParent)
  })
  process.on('disconnect', () => process.exit())
  // Ctrl-C reaches the whole process group; the parent decides when its children end.
  process.on('SIGINT', () => undefined)
}

async function answer<P extends Protocol<P>>(handlers: Handlers<P>, { id, name, ask }: Question): Promise<Answer> {
  try {
    return { id, reply: await handlers[name as keyof P](ask) }
  } catch (error) {
    return { id, failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

function tellParent(answer: Answer): void {
  process.send?.(answer)
}

/** In a child: tells the parent something it did not ask for. */
export function notifyParent(notice: unknown): void {
  tellParent({ notice })
}
