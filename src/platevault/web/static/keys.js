// `?` lists the keys of the page, but not in a text field; Esc closes the list.
"use strict";

const help = document.getElementById("help");

const isTyping = (target) => target instanceof Element && target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  event.preventDefault();
  if (help.open) help.close();
  else if (!document.querySelector("dialog[open]")) help.showModal();
});
document.getElementById("keys").addEventListener("click", () => help.showModal());
