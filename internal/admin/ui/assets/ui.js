// What the pages need beyond htmx. Without it they can be read, and every form works.
(() => {
  'use strict';

  // The mark beside the title tells whether the page follows what happens.
  let following = false;
  let missed = false; // the page was not updated, because somebody uses it
  const mark = () => {
    for (const el of document.querySelectorAll('.live')) {
      el.hidden = !following;
      el.classList.toggle('still', missed);
      el.textContent = missed ? 'not updated while in use' : 'live';
    }
  };
  const follow = (on) => {
    following = on;
    mark();
  };
  document.addEventListener('htmx:sseOpen', () => follow(true));
  document.addEventListener('htmx:sseError', () => follow(false));
  document.addEventListener('htmx:sseClose', () => follow(false));
  document.addEventListener('htmx:afterSettle', mark);

  // A part of a page that somebody is using stays as it is: it would lose what they chose or wrote,
  // a press would miss what it began on, and who goes through it with the keyboard would be thrown back
  // to the top.
  const chosenAtFirst = (select) => Math.max(0, [...select.options].findIndex((o) => o.defaultSelected));
  const edited = (field) =>
    field.options ? field.selectedIndex !== chosenAtFirst(field) :
    field.type === 'checkbox' ? field.checked !== field.defaultChecked :
    field.value !== field.defaultValue;
  const inUse = (live) =>
    live.querySelector('details[open], :is(input, select, textarea):focus, :focus-visible, :active') !== null ||
    [...live.querySelectorAll('input, select, textarea')].some(edited);
  const holdStill = (live) => {
    if (!inUse(live)) return false;
    missed = true;
    mark();
    return true;
  };
  document.addEventListener('htmx:beforeRequest', (e) => {
    if (e.target.id === 'live' && holdStill(e.target)) e.preventDefault();
  });

  // Somebody may have begun to use it while the answer was under way.
  document.addEventListener('htmx:beforeSwap', (e) => {
    if (e.detail.target.id === 'live') {
      if (holdStill(e.detail.target)) e.detail.shouldSwap = false;
      else missed = false;
    }
  });

  // What was missed is shown as soon as nobody uses it any more.
  const catchUp = () => setTimeout(() => {
    const live = document.getElementById('live');
    if (missed && live && !inUse(live)) window.htmx.trigger(live, 'sse:change');
  });
  for (const what of ['focusout', 'change', 'input', 'toggle', 'pointerup', 'pointercancel']) document.addEventListener(what, catchUp, true);

  // A button that was pressed may be gone with what it did: the keyboard goes on in the page's content.
  document.addEventListener('htmx:afterSettle', (e) => {
    if (e.target.id === 'main' && document.activeElement === document.body) e.target.focus({preventScroll: true});
  });

  // The event streams of pages that are not looked at are not needed.
  document.addEventListener('htmx:configRequest', (e) => {
    if (e.target.id === 'live' && document.hidden) e.preventDefault();
  });
  document.addEventListener('visibilitychange', () => {
    const live = document.getElementById('live');
    if (!document.hidden && live && window.htmx) window.htmx.trigger(live, 'sse:change');
  });

  // An error page takes the place of what was asked for, rather than nothing.
  document.addEventListener('htmx:beforeSwap', (e) => {
    if (e.detail.xhr.status === 422) e.detail.shouldSwap = true;
  });

  // The box at the head of a list chooses every row.
  document.addEventListener('change', (e) => {
    if (e.target.matches('[data-all]')) {
      for (const box of document.querySelectorAll('input[name=id]')) box.checked = e.target.checked;
    }
  });

  // Buttons that fill a form in anew leave htmx aside; choosing presses them.
  document.addEventListener('change', (e) => {
    const button = e.target.parentElement && e.target.parentElement.querySelector('button[data-plain]');
    if (button && e.target.matches('select')) {
      e.stopPropagation();
      button.form.submit(); // which no script sees
    }
  }, true);

  const start = () => {
    for (const button of document.querySelectorAll('button[data-plain]')) button.hidden = true;
    for (const el of document.querySelectorAll('[data-script]')) el.hidden = false;
    if (location.hash) {
      const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (at) at.scrollIntoView();
    }
  };
  document.addEventListener('DOMContentLoaded', start);
})();
