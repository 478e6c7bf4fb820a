// Package docspace is a client for the REST API of one ONLYOFFICE DocSpace portal: it looks
// entries up, lists folders, creates them, starts and follows copies and moves, manages webhooks and
// reads their log.
//
// It keeps inside the portal's limits of requests per minute and parallel requests, repeats
// failed reads a little, never repeats a write, and tells by typed errors what a failed call
// may have done. It keeps no day's budget, opens no circuit breaker, caches nothing and
// judges no operation: an Operation is passed on as the portal described it, and DocSpace
// describes operations badly.
//
// # What an error means
//
// Every error of a call is one of these, found with errors.As or errors.Is:
//
//	error                            what happened                             write took effect?
//	*StatusError, Enveloped          DocSpace refused and said why             no
//	*StatusError, 3xx and bare 4xx   something in front of it refused          no
//	*StatusError, bare 5xx           DocSpace or its proxy broke down          unknown
//	*UnansweredError, Sent false     no connection, or the context had ended   no
//	*UnansweredError, Sent true      timeout, reset, answer cut off            unknown
//	*GarbledError                    2xx, but not DocSpace's JSON              unknown
//	ErrUnknownOperation              the portal does not list the operation    -
//	ErrInvalid                       the call makes no sense; nothing was sent no
//	ErrNoKey                         there is no API key; nothing was sent     no
//
// "Bare" means without DocSpace's JSON (Enveloped false). Uncertain answers the last column.
// The functions below sort the rest; an error can belong to none of them:
//
//	function        true for                                   a sensible reaction
//	IsGone          404 with JSON                              the entry does not exist
//	IsForbidden     403 with JSON                              ask with File or Folder whether it is gone
//	IsRateLimited   429                                        wait as told, or a few seconds
//	IsPortalDown    cannot connect, 502, 503, 504, open        hold everything for this portal
//	                circuit breaker
//	IsCredentials   401; 402, 403, 404 without JSON; no key    a person must look at key or portal
//	Uncertain       see above                                  look in the destination before repeating
//
// A 403 on a copy or move says little: DocSpace answers it for a single file that has
// vanished as well, and 500 for a vanished folder. errors.Is(err, context.Canceled) and
// errors.Is(err, context.DeadlineExceeded) hold only when the caller's own context ended.
//
// No error holds the API key or a URL's path or query.
package docspace
