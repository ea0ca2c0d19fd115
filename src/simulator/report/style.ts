// The report's style sheet: the console's look (neutral greys, one accent, hairlines, tabular figures), written out here because
// the file must stand alone. Series have nine hues, chosen apart in both themes.
export const style = `
:root { color-scheme: light dark;
  --bg: light-dark(#fafafb, #17181c); --surface: light-dark(#ffffff, #1e1f24); --line: light-dark(#e3e4e8, #34363d);
  --text: light-dark(#1f2128, #ecedf0); --text-2: light-dark(#4c5060, #b4b8c4); --text-3: light-dark(#666b7c, #959aa9);
  --accent: light-dark(#2a4fb8, #9bb8ff); --bad: light-dark(#b3261e, #f2938c);
  --c0: light-dark(#2a4fb8, #8fb0ff); --c1: light-dark(#b4452a, #ff9d7a); --c2: light-dark(#1f7a5c, #5fd0a5);
  --c3: light-dark(#8a3fa0, #d99cf0); --c4: light-dark(#8a6a00, #e6c35c); --c5: light-dark(#0f7c8c, #5fc8d8);
  --c6: light-dark(#a8336e, #f58fbd); --c7: light-dark(#5c6270, #aab0bf); --c8: light-dark(#4f7a1c, #a9d46a); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 14px/1.5 Inter, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1320px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 22px; line-height: 1.25; margin: 0 0 8px; } h2 { font-size: 16px; margin: 36px 0 8px; } h3 { font-size: 13px; margin: 20px 0 6px; color: var(--text-2); }
p { margin: 4px 0; max-width: 80ch; color: var(--text-2); } .note { font-size: 13px; color: var(--text-3); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 1px; background: var(--line); border: 1px solid var(--line); border-radius: 6px; overflow: hidden; margin-top: 20px; }
.figure { background: var(--surface); padding: 12px 14px; display: flex; flex-direction: column; gap: 2px; }
.figure .name { font-size: 12px; color: var(--text-3); } .figure .value { font-size: 20px; } .figure .under { font-size: 12px; color: var(--text-2); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
figure { margin: 0; background: var(--surface); border: 1px solid var(--line); border-radius: 6px; padding: 12px; }
figcaption { font-size: 13px; margin-bottom: 4px; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--text-3); font: 11px Inter, system-ui, sans-serif; } .label { fill: var(--text-2); }
.grid { stroke: var(--line); stroke-width: 1; } .mark { stroke: var(--bad); stroke-width: 1; stroke-dasharray: 4 3; } svg .marked { fill: var(--bad); }
.series path { fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linejoin: round; } .series circle { fill: currentColor; }
.s0 { color: var(--c0); } .s1 { color: var(--c1); } .s2 { color: var(--c2); } .s3 { color: var(--c3); } .s4 { color: var(--c4); } .s5 { color: var(--c5); } .s6 { color: var(--c6); } .s7 { color: var(--c7); } .s8 { color: var(--c8); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 12px 0; padding: 0; } .legend li { display: flex; align-items: center; gap: 6px; font-size: 13px; color: var(--text); }
.swatch { width: 14px; height: 3px; border-radius: 2px; background: currentColor; } 
.legend .s0 .swatch { background: var(--c0); } .legend .s1 .swatch { background: var(--c1); } .legend .s2 .swatch { background: var(--c2); } .legend .s3 .swatch { background: var(--c3); } .legend .s4 .swatch { background: var(--c4); } .legend .s5 .swatch { background: var(--c5); } .legend .s6 .swatch { background: var(--c6); } .legend .s7 .swatch { background: var(--c7); } .legend .s8 .swatch { background: var(--c8); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; background: var(--surface); }
table { border-collapse: collapse; width: 100%; font-size: 12.5px; } th, td { padding: 6px 9px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; } thead th { color: var(--text-3); font-weight: 500; } th[scope=row], td.text, th.text, thead th:first-child { text-align: left; font-weight: 500; } td.text { white-space: normal; min-width: 12ch; font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; font-size: 13px; } dt { color: var(--text-2); font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 12px; } dd { margin: 0; color: var(--text-2); }
@media (max-width: 640px) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 6px; } }
`;
