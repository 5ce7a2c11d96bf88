/** The look of a timeline page, light and dark. Every outcome shows by shape or sign too, not by colour alone. */
export const TIMELINE_STYLE = `
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5b6675; --paper: #ffffff; --line: #dde2e9; --band: #f5f7fa;
  --ok: #d6e6fb; --ok-edge: #2f6fb8; --unknown: #fdeec4; --unknown-edge: #8a6100; --failed: #e6e8eb; --failed-edge: #6b7480;
  --bad: #ffd9d6; --bad-edge: #b3261e; --mark: #1b2430; --mark-ink: #ffffff }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9fabba; --paper: #12171e; --line: #2b3440; --band: #171d26;
  --ok: #17395f; --ok-edge: #6ea8ec; --unknown: #453508; --unknown-edge: #e0b040; --failed: #2a3038; --failed-edge: #8d97a4;
  --bad: #5a1714; --bad-edge: #ff8a80; --mark: #e4e9f0; --mark-ink: #12171e } }
* { box-sizing: border-box }
body { margin: 0; height: 100vh; display: flex; flex-direction: column; color: var(--ink); background: var(--paper);
  font: 13px/1.4 system-ui, sans-serif }
header { padding: 12px 16px; border-bottom: 1px solid var(--line) }
h1 { margin: 0 0 4px; font-size: 17px } h2 { margin: 0 0 6px; font-size: 13px }
.finding { margin: 0 0 8px; font-size: 14px } .finding b { color: var(--bad-edge) }
.controls { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: center }
.zoom { display: inline-flex; gap: 4px }
button, select { font: inherit; color: inherit; background: var(--band); border: 1px solid var(--line); border-radius: 5px; padding: 3px 9px }
button:hover { border-color: var(--soft) }
.legend { display: inline-flex; flex-wrap: wrap; gap: 6px; color: var(--soft) }
.legend .op { position: static; width: auto; max-width: none; padding-right: 8px }
main { flex: 1; overflow: auto; min-height: 160px }
.board { position: relative; min-width: 100%; width: calc(var(--scale) * var(--end) * 1px + 140px) }
.row { position: relative; border-bottom: 1px solid var(--line) }
.row:nth-of-type(odd) { background: var(--band) }
.row.empty { display: none }
.client { position: sticky; left: 0; z-index: 3; width: 84px; height: 100%; padding: 6px 8px; overflow: hidden; text-overflow: ellipsis;
  font-weight: 600; background: inherit; border-right: 1px solid var(--line) }
.row:nth-of-type(even) .client { background: var(--paper) }
.axis { position: sticky; top: 0; z-index: 4; height: 28px; background: var(--paper); border-bottom: 1px solid var(--line) }
.axis .client { z-index: 5; color: var(--soft); font-weight: 400 }
.axis span { position: absolute; top: 0; height: 28px; padding: 6px 0 0 4px; border-left: 1px solid var(--line); color: var(--soft);
  font-variant-numeric: tabular-nums; white-space: nowrap }
.op { position: absolute; left: calc(92px + var(--scale) * var(--at) * 1px); width: max(7px, calc(var(--scale) * var(--long) * 1px));
  height: 24px; padding: 2px 3px; overflow: hidden; white-space: nowrap; font-style: normal; font-size: 12px; line-height: 18px;
  color: var(--ink); background: var(--ok); border: 1px solid var(--ok-edge); border-radius: 4px }
.op:hover { z-index: 2; width: max-content; min-width: max(7px, calc(var(--scale) * var(--long) * 1px)) }
s { text-decoration: none } .one .op s { display: none }
.band { position: absolute; z-index: 1; top: 28px; bottom: 0; left: calc(92px + var(--scale) * var(--at) * 1px);
  width: calc(var(--scale) * var(--long) * 1px); background: var(--bad-edge); opacity: 0.09; pointer-events: none }
.op b { display: inline-block; min-width: 18px; height: 18px; margin-right: 5px; padding: 0 4px; border-radius: 9px; text-align: center;
  font-size: 11px; color: var(--mark-ink); background: var(--mark) }
.unknown { background: var(--unknown); border: 1px dashed var(--unknown-edge); border-right: 0; border-radius: 4px 0 0 4px }
.failed { background: repeating-linear-gradient(135deg, var(--failed) 0 5px, transparent 5px 9px); border-color: var(--failed-edge); color: var(--soft) }
.unplaced { z-index: 1; background: var(--bad); border: 2px solid var(--bad-edge); padding: 1px 2px; font-weight: 600 }
.unplaced b { background: var(--bad-edge); color: var(--paper) }
.op.found { outline: 3px solid var(--ink); outline-offset: 1px; z-index: 2 }
footer { display: flex; gap: 32px; max-height: 32vh; padding: 10px 16px; border-top: 1px solid var(--line) }
footer section { display: flex; flex-direction: column; min-width: 260px }
.order, .left { margin: 0; padding: 0 8px 0 44px; overflow: auto; font-variant-numeric: tabular-nums }
.left { padding-left: 18px } .left a { color: var(--bad-edge); font-weight: 600 }
.order li { padding-right: 4px } .order span { float: right; margin-left: 32px; font-weight: 600 }
footer a { cursor: pointer } footer a:hover { text-decoration: underline }
#tip { position: fixed; z-index: 9; max-width: 420px; padding: 6px 10px; white-space: pre-line; pointer-events: none; color: var(--paper);
  background: var(--ink); border-radius: 6px }
@media (max-width: 700px) { footer { flex-direction: column; gap: 8px; overflow: auto } }
`

export const TIMELINE_SCRIPT = `
const board = document.querySelector('.board'), main = document.querySelector('main'), axis = document.querySelector('.axis')
const end = Number(document.body.dataset.end), key = document.getElementById('key'), tip = document.getElementById('tip')
const bars = [...board.querySelectorAll('.op')]
let scale = Number(document.body.dataset.scale)
const LEFT = 92
function time(ns, step) {
  const [unit, name] = step >= 1e9 ? [1e9, 's'] : step >= 1e6 ? [1e6, 'ms'] : step >= 1e3 ? [1e3, 'µs'] : [1, 'ns']
  return Math.round(ns / unit * 1000) / 1000 + ' ' + name
}
function draw() {
  board.style.setProperty('--scale', scale)
  board.style.setProperty('--end', end)
  axis.querySelectorAll('span').forEach((tick) => tick.remove())
  const rough = 110 / scale, power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((of) => of * power).find((of) => of >= rough)
  const from = Math.max(0, Math.floor((main.scrollLeft - LEFT) / scale / step) * step)
  const to = Math.min(end + step, from + (main.clientWidth + 400) / scale)
  for (let at = from; at <= to; at += step) {
    const tick = axis.appendChild(document.createElement('span'))
    tick.style.left = LEFT + at * scale + 'px'
    tick.textContent = time(at, step)
  }
}
function zoom(by) {
  const middle = main.clientWidth / 2
  const at = (main.scrollLeft + middle - LEFT) / scale
  scale = Math.min(Math.max(scale * by, (main.clientWidth - 150) / end), 50)
  draw()
  main.scrollLeft = at * scale + LEFT - middle
}
function filter() {
  board.classList.toggle('one', key.value !== '')
  for (const bar of bars) bar.hidden = key.value !== '' && bar.dataset.key !== key.value
  for (const row of board.querySelectorAll('.row')) row.classList.toggle('empty', !row.querySelector('.op:not([hidden])'))
}
function show(bar) {
  if (!bar) return
  if (bar.hidden) { key.value = ''; filter() }
  bars.forEach((other) => other.classList.toggle('found', other === bar))
  const box = bar.getBoundingClientRect(), view = main.getBoundingClientRect()
  main.scrollLeft += box.left + Math.min(box.width, view.width / 2) / 2 - view.left - view.width / 2
  main.scrollTop += box.top - view.top - view.height / 2
}
const first = board.querySelector('[data-left="0"]')
document.getElementById('in').onclick = () => zoom(1.6)
document.getElementById('out').onclick = () => zoom(1 / 1.6)
document.getElementById('fit').onclick = () => zoom(0)
const go = document.getElementById('go')
if (go) go.onclick = () => show(first)
key.onchange = filter
main.onscroll = draw
onresize = draw
document.querySelectorAll('.order a').forEach((link, index) => { link.onclick = () => show(board.querySelector('[data-place="' + (index + 1) + '"]')) })
document.querySelectorAll('.left a').forEach((link, index) => { link.onclick = () => show(board.querySelector('[data-left="' + index + '"]')) })
board.onpointermove = (event) => {
  const bar = event.target.closest('.op')
  tip.hidden = !bar
  if (!bar) return
  tip.textContent = bar.dataset.tip
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px'
  tip.style.top = Math.min(event.clientY + 18, innerHeight - tip.offsetHeight - 8) + 'px'
}
board.onpointerleave = () => { tip.hidden = true }
filter()
draw()
if (go) { const list = document.querySelector('.order'); list.scrollTop = list.scrollHeight; show(first); first?.classList.remove('found') }
`
