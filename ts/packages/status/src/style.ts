/** The look. What an application may change are the custom properties and the parts; see the README. */
export const STYLE = `
:host{display:inline-flex;align-items:center;gap:.5em;font-variant-numeric:tabular-nums;
--_live:var(--holdfast-live,#2c8a5b);--_busy:var(--holdfast-busy,#2f6fd6);--_away:var(--holdfast-away,#8a8f88);--_bad:var(--holdfast-bad,#b3402e);--_color:var(--_away)}
@media (prefers-color-scheme:dark){:host{--_live:var(--holdfast-live,#58b884);--_busy:var(--holdfast-busy,#7aa7f5);--_bad:var(--holdfast-bad,#e58572)}}
:host([hidden]),[hidden]{display:none}
:host([state=""]){visibility:hidden}
:host([state=live]){--_color:var(--_live)}
:host([state=connecting]),:host([state=catching-up]){--_color:var(--_busy)}
:host([state=offline]),:host([state=ended]){--_color:var(--_bad)}
[part=dot]{flex:none;box-sizing:border-box;width:.65em;height:.65em;border-radius:50%;background:var(--_color);forced-color-adjust:none}
:host([busy]) [part=dot]{background:none;border:.14em solid var(--_color);border-top-color:transparent;animation:turn .8s linear infinite}
[part=detail]{opacity:.75}
[part=button]{font:inherit;color:inherit;padding:.1em .6em;border:1px solid;border-radius:99px;background:none;cursor:pointer}
@keyframes turn{to{rotate:1turn}}
@media (prefers-reduced-motion:reduce){:host([busy]) [part=dot]{animation:none}}
`;
