/** Addresses that no task reaches: the host, its networks, cloud metadata, and whatever is not the public internet. */
import { BlockList, isIP, isIPv4 } from 'node:net';

/** RFC 6890 and its successors; Azure answers its metadata and DNS at a public-looking address. */
const INTERNAL_V4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
];
/** Only 2000::/3 is public, and these of it are not, or carry an IPv4 address inside. */
const INTERNAL_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

const internalV4 = listOf(INTERNAL_V4, 'ipv4');
const internalV6 = listOf(INTERNAL_V6, 'ipv6');
const publicV6 = listOf(['2000::/3'], 'ipv6');

/** @param own further addresses of the host */
export function isInternal(address: string, own: readonly string[]): boolean {
  if (isIPv4(address)) return internalV4.check(address, 'ipv4') || own.includes(address);
  // Not an address at all: nothing to connect to, so it is refused as well.
  if (isIP(address) !== 6) return true;
  if (!publicV6.check(address, 'ipv6') || internalV6.check(address, 'ipv6')) return true;
  const hosts = new BlockList();
  for (const each of own) if (isIP(each) === 6) hosts.addAddress(each, 'ipv6');
  return hosts.check(address, 'ipv6');
}

function listOf(ranges: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [net = '', bits] = range.split('/');
    list.addSubnet(net, Number(bits), family);
  }
  return list;
}
