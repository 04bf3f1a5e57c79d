/** What a refused ECS call means. Ordered tables, first match wins: the API says the same thing in several ways. */

/**
 * - `throttled`: try again later. - `transient`: no answer, or an error of the service itself; try again.
 * - `capacity`: no room of this kind now. - `conflict`: the client token has been used for another request.
 * - `missing`: what the call is about does not exist. - `refused`: the same call will be refused again.
 */
export type Refusal = 'throttled' | 'transient' | 'capacity' | 'conflict' | 'missing' | 'refused';

export interface EcsError {
  readonly name: string;
  readonly message: string;
  /** HTTP status; undefined when no answer came. */
  readonly status?: number | undefined;
}

type Row<T> = readonly [when: (given: T) => boolean, then: Refusal];

const errorRows: readonly Row<EcsError>[] = [
  // A token used with other parameters: the task exists, and the error names it.
  [({ name }) => name === 'ConflictException', 'conflict'],
  // Said so.
  [
    ({ name }) => /^(Throttling|ThrottlingException|TooManyRequestsException|RequestLimitExceeded)$/.test(name),
    'throttled',
  ],
  // Disguised: RunTask reports the throttle of an API behind it as a wrong parameter.
  [({ message }) => /rate exceeded|too many (concurrent )?requests|throttl/i.test(message), 'throttled'],
  // The subnet, the zone or the account has no room: no addresses, no spare machines, no vCPU left in the quota.
  [
    ({ message }) =>
      /capacity is unavailable|limit on the number of (vCPUs|tasks)|insufficient.*(address|capacity)/i.test(message),
    'capacity',
  ],
  // Too many tasks of the cluster are in PROVISIONING.
  [({ name, message }) => name === 'ClientException' && /PROVISIONING|capacity/i.test(message), 'capacity'],
  [
    ({ message }) =>
      /task was not found|unable to describe task definition|task ?definition.*(not found|does not exist|is inactive)/i.test(
        message,
      ),
    'missing',
  ],
  // Answers of the service about itself, and no answer at all. A client token makes a repetition safe.
  [({ name, status }) => name === 'ServerException' || status === undefined || status >= 500, 'transient'],
  // Wrong names, no permission, unsupported combinations: somebody has to change something.
  [() => true, 'refused'],
];

export function refusalOf(error: EcsError): Refusal {
  return errorRows.find(([when]) => when(error))![1];
}

/** An element of `failures[]` of a call that itself succeeded. */
export interface EcsFailure {
  readonly reason?: string | undefined;
  readonly detail?: string | undefined;
}

const failureRows: readonly Row<string>[] = [
  [(text) => /rate exceeded|throttl/i.test(text), 'throttled'],
  // RESOURCE:ENI, RESOURCE:CPU …: nowhere to put it now.
  [(text) => /^RESOURCE/.test(text), 'capacity'],
  [(text) => /capacity is unavailable|EMPTY CAPACITY PROVIDER|insufficient/i.test(text), 'capacity'],
  [(text) => /^MISSING/.test(text), 'missing'],
  [() => true, 'refused'],
];

export function failureRefusal({ reason = '', detail = '' }: EcsFailure): Refusal {
  const text = `${reason} ${detail}`.trim();
  return failureRows.find(([when]) => when(text))![1];
}
