/** How the story looks. */
const { NO_COLOR, TERM } = process.env
const hasColour = process.stdout.isTTY && !NO_COLOR && TERM !== 'dumb'
const CLOCK_COLUMNS = 9

export const strong = style('1')
export const dim = style('2')
export const green = style('32')
export const red = style('31')
export const cyan = style('36')

function style(code: string): (text: string) => string {
  return (text) => (hasColour ? `\u001b[${code}m${text}\u001b[0m` : text)
}

export function title(text: string, subtitle: string): void {
  console.log(`\n  ${strong(text)}\n  ${dim(subtitle)}`)
}

/** A step of the story, with the seconds since it began. */
export function chapter(text: string): void {
  const clock = `${(performance.now() / 1000).toFixed(1)} s`.padStart(CLOCK_COLUMNS - 2)
  console.log(`\n${dim(clock)}  ${strong(text)}`)
}

export function line(text: string): void {
  console.log(' '.repeat(CLOCK_COLUMNS) + text)
}

/** Fractions only where they say something. */
export function milliseconds(ms: number): string {
  return `${ms < 100 ? ms.toFixed(1) : Math.round(ms).toLocaleString('en')} ms`
}
