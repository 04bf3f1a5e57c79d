/**
 * Values that look like credentials. Whoever writes one where only plain values belong gets the name of the pattern and
 * never the value. A value that matches none of them may still be a secret: the table is a net, not a proof.
 */

interface CredentialPattern {
  readonly name: string;
  readonly what: string;
  readonly value: RegExp;
  /** Only for variables of such a name. */
  readonly variable?: RegExp;
}

/** In this order; the first that matches names the value. */
export const credentialPatterns: readonly CredentialPattern[] = [
  { name: 'PrivateKey', what: 'A PEM private key', value: /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/ },
  { name: 'AnthropicKey', what: 'An Anthropic API key', value: /\bsk-ant-[A-Za-z0-9_-]{20,}/ },
  { name: 'OpenAiKey', what: 'An OpenAI API key', value: /\bsk-[A-Za-z0-9_-]{20,}/ },
  { name: 'AwsAccessKeyId', what: 'An AWS access key id', value: /\b(AKIA|ASIA)[A-Z0-9]{16}\b/ },
  {
    name: 'GitHubToken',
    what: 'A GitHub token',
    value: /\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})/,
  },
  { name: 'GitLabToken', what: 'A GitLab token', value: /\bglpat-[A-Za-z0-9_-]{20,}/ },
  { name: 'SlackToken', what: 'A Slack token', value: /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/ },
  { name: 'GoogleApiKey', what: 'A Google API key', value: /\bAIza[A-Za-z0-9_-]{35}/ },
  { name: 'StripeKey', what: 'A Stripe key', value: /\b[rs]k_(live|test)_[A-Za-z0-9]{16,}/ },
  { name: 'NpmToken', what: 'An npm token', value: /\bnpm_[A-Za-z0-9]{36}/ },
  {
    name: 'JsonWebToken',
    what: 'A signed JSON Web Token',
    value: /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/,
  },
  { name: 'UrlPassword', what: 'A URL with a password', value: /[A-Za-z][A-Za-z0-9+.-]*:\/\/[^\s/:@]*:[^\s/@]+@/ },
  { name: 'AuthorizationHeader', what: 'An HTTP authorization', value: /\b(Bearer|Basic) +[A-Za-z0-9+/=._~-]{16,}/i },
  {
    name: 'SecretName',
    what: 'At least 8 characters in a variable that is named for a secret',
    value: /^.{8,}$/su,
    variable: /(SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)$/i,
  },
];

/** Name of the first pattern that the value of the variable matches. */
export function credentialPattern(variable: string, value: string): string | undefined {
  return credentialPatterns.find((pattern) => (pattern.variable?.test(variable) ?? true) && pattern.value.test(value))
    ?.name;
}
