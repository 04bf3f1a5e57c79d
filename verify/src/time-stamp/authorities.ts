/** The time-stamping authorities of a trust document, and the path from one of their certificates to a signer's. */
import { X509Certificate } from 'node:crypto';
import { checkIssuer, readCertificate, type Certificate } from '@pangolin/contracts/certificate';
import { decodeBase64 } from '@pangolin/contracts/dsse';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { formatTime } from '@pangolin/contracts/units';
import { Refusal, refuse } from '../refusal.ts';

export interface TrustedAuthority {
  /** The only certificate that may sign; absent: whatever the issuers issued for time stamps. */
  readonly signer?: Buffer;
  readonly issuers: readonly Certificate[];
  /** Milliseconds since 1970. */
  readonly start: number;
  readonly end: number;
}

const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** @throws PangolinError INVALID */
export function readAuthorities({ tsaRoots = [], trustedRoot }: TrustDocument): TrustedAuthority[] {
  try {
    const roots = tsaRoots.flatMap((text) => {
      const found = text.match(PEM) ?? refuse('there is no certificate in PEM');
      return found.map((pem) => readCertificate(new X509Certificate(pem).raw));
    });
    const whole = roots.length === 0 ? [] : [{ issuers: roots, start: -Infinity, end: Infinity }];
    return [
      ...whole,
      ...trustedRoot.timestampAuthorities.map(({ certChain, validFor }) => {
        const chain = certChain.certificates.map(({ rawBytes }) => readCertificate(decodeBase64(rawBytes)!));
        const [first, ...rest] = chain;
        return {
          ...(first!.x509.ca ? { issuers: chain } : { signer: first!.x509.raw, issuers: rest }),
          start: Date.parse(validFor.start),
          end: validFor.end === undefined ? Infinity : Date.parse(validFor.end),
        };
      }),
    ];
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PangolinError('INVALID', `the trust file cannot be used: a time-stamping authority: ${why}`, { cause });
  }
}

/**
 * Climbs from the signer's certificate through those that the auditor trusts, as far as they go.
 * @param at milliseconds since 1970, at which all of them have to be valid. @throws Refusal
 */
export function checkPath(signer: Certificate, authorities: readonly TrustedAuthority[], at: number): void {
  const problems: string[] = [];
  for (const authority of authorities) {
    try {
      climb(signer, authority, at);
      return;
    } catch (error) {
      if (!(error instanceof Refusal || isPangolinError(error))) throw error;
      problems.push(error.message);
    }
  }
  // The last word of several authorities means little; the first sentence that is about a found path says most.
  refuse(problems.find((each) => each !== STRANGER) ?? STRANGER);
}

const STRANGER = 'the time stamp is of an authority that the trust file does not know';

function climb(signer: Certificate, authority: TrustedAuthority, at: number): void {
  if (authority.signer && !authority.signer.equals(signer.x509.raw)) refuse(STRANGER);
  const path = [signer];
  for (;;) {
    const last = path.at(-1)!;
    const next = authority.issuers.find(
      ({ x509, publicKey }) =>
        last.x509.checkIssued(x509) && last.x509.verify(publicKey) && !x509.raw.equals(last.x509.raw),
    );
    if (!next || path.includes(next)) break;
    if (!last.isStrong) refuse('a certificate of the time stamp is signed with a weak hash');
    path.push(next);
  }
  // A pinned signer needs nobody above it.
  if (path.length === 1 && !authority.signer) refuse(STRANGER);
  for (const [below, issuer] of path.slice(1).entries()) checkIssuer(issuer, below);
  if (at < authority.start || at > authority.end) refuse(`the authority was not trusted at ${formatTime(at)}`);
  for (const { x509 } of path) {
    if (at < x509.validFromDate.getTime() || at > x509.validToDate.getTime()) {
      refuse(`a certificate of the time stamp was not valid at ${formatTime(at)}`);
    }
  }
}
