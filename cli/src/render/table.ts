/** The one table: plain columns, no borders. */
import { printable, terminalWidth } from '../terminal.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'right';
  /** Given the text of a cell; colours it without changing its width. */
  readonly paint?: (text: string) => string;
}

const GAP = 2;

/** On a terminal the last column is cut to its width. Cells are made printable here. */
export async function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): Promise<string> {
  const { default: Table } = await import('cli-table3');
  const clean = cutLast(
    columns,
    rows.map((row) => row.map(printable)),
  );
  const table = new Table({
    head: columns.map(({ title }) => title),
    colAligns: columns.map(({ align }) => align ?? 'left'),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': GAP },
    chars: noBorders,
  });
  for (const row of clean) table.push(row.map((cell, index) => columns[index]?.paint?.(cell) ?? cell));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const noBorders = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
    'middle',
  ].map((name) => [name, '']),
);

function cutLast(columns: readonly Column[], rows: readonly (readonly string[])[]): readonly (readonly string[])[] {
  if (!process.stdout.isTTY) return rows;
  const widths = columns.map(({ title }, index) =>
    rows.reduce((max, row) => Math.max(max, row[index]?.length ?? 0), title.length),
  );
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + GAP, 0);
  const room = Math.max(20, terminalWidth() - before - GAP);
  return rows.map((row) => [...row.slice(0, -1), cut(row.at(-1) ?? '', room)]);
}

const cut = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);
