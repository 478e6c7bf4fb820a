// Package browsertest drives the administrators' pages in a real browser: a running gateway, a
// simulated portal, and Chromium looking at both ends as a person would.
//
// Its tests skip unless they are asked for with -browser, which names a Chromium or says "find";
// with it they fail where none is found. With -screenshots they write pictures of every page.
package browsertest
