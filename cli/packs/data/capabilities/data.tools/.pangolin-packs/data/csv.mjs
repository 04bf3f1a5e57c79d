// RFC 4180: fields in quotes may hold commas, quotes ("" for one) and line ends.
export function parseCsv(text) {
  const rows = [];
  let row = [];
  for (let at = text.startsWith('\ufeff') ? 1 : 0; at < text.length;) {
    let field = '';
    if (text[at] === '"') {
      for (;;) {
        const end = text.indexOf('"', at + 1);
        if (end === -1) throw new Error(`row ${rows.length + 1} has a quote without an end`);
        field += text.slice(at + 1, end);
        at = end + 1;
        if (text[at] !== '"') break;
        field += '"';
      }
    } else {
      const from = at;
      while (at < text.length && text[at] !== ',' && text[at] !== '\n' && text[at] !== '\r') at++;
      field = text.slice(from, at);
    }
    row.push(field);
    if (text[at] === ',') {
      at++;
      if (at === text.length) row.push('');
      else continue;
    } else if (at < text.length && !/[\r\n]/.test(text[at])) {
      throw new Error(`row ${rows.length + 1} goes on after a quote`);
    }
    if (text[at] === '\r') at++;
    if (text[at] === '\n') at++;
    rows.push(row);
    row = [];
  }
  return rows;
}

export const formatCsv = (rows) => rows.map((row) => `${row.map(quoted).join(',')}\n`).join('');
const quoted = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);

// Decimal numbers, exact to nine places: sums do not depend on their order.
const PLACES = 9;
export function parseDecimal(text) {
  const [, sign, whole, fraction = ''] = /^\s*([+-]?)(\d+)(?:\.(\d{1,9}))?\s*$/.exec(text) ?? [];
  if (whole === undefined) throw new Error(`${JSON.stringify(text)} is no decimal number of at most nine places`);
  const value = BigInt(whole + fraction.padEnd(PLACES, '0'));
  return sign === '-' ? -value : value;
}
export function formatDecimal(value) {
  const digits = (value < 0n ? -value : value).toString().padStart(PLACES + 1, '0');
  const fraction = digits.slice(-PLACES).replace(/0+$/, '');
  return `${value < 0n ? '-' : ''}${digits.slice(0, -PLACES)}${fraction === '' ? '' : `.${fraction}`}`;
}
