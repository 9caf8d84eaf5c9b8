import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

export interface Line {
  label: string;
  color: string;
  values: (number | null)[];
}

/** Lines over time; times are in seconds. */
export function Chart({ times, lines }: { times: number[]; lines: Line[] }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const ink = getComputedStyle(element).color;
    const axis = { stroke: ink, grid: { stroke: "rgb(128 128 128 / 0.2)" }, ticks: { show: false } };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: 180,
        series: [
          {},
          ...lines.map(({ label, color }) => ({ label, stroke: color, width: 1.5, points: { show: false } })),
        ],
        axes: [axis, { ...axis, size: 50 }],
        scales: { y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 1)] } },
        cursor: { y: false },
      },
      [times, ...lines.map(({ values }) => values)],
      element,
    );
    plot.current = made;
    const seen = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: 180 }));
    seen.observe(element);
    return () => {
      seen.disconnect();
      made.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData([times, ...lines.map(({ values }) => values)]), [times, lines]);
  return <div class="chart" ref={host} />;
}
