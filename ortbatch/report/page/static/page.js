"use strict";
// The list of sections marks the one that is read.
{
  const links = new Map();
  for (const link of document.querySelectorAll("nav.sections a")) links.set(link.hash.slice(1), link);
  const strip = document.querySelector("nav.sections ul");
  const mark = (id) => {
    for (const [other, link] of links) {
      if (other === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const link = links.get(id);
    if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = link.offsetLeft - strip.offsetLeft - 16;
  };
  if (links.size) {
    const seen = new Set();
    // A band a third from the top: the section that lies in it is the one that is read.
    const watch = new IntersectionObserver((entries) => {
      for (const entry of entries) entry.isIntersecting ? seen.add(entry.target.id) : seen.delete(entry.target.id);
      const first = [...links.keys()].find((id) => seen.has(id));
      if (first) mark(first);
    }, { rootMargin: "-25% 0px -65% 0px" });
    for (const id of links.keys()) watch.observe(document.getElementById(id));
  }
}
// What does not scroll need not be a stop for the keyboard.
{
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const moves = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
      if (moves) target.tabIndex = 0;
      else if (target !== document.activeElement) target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(".scroll")) sizes.observe(box);
}
// Paper cannot unfold.
{
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const fold of closed) fold.open = true;
  });
  addEventListener("afterprint", () => {
    for (const fold of closed) fold.open = false;
  });
}
