"use strict";
// A slider over pictures that lie in the page: moves, plays, and says where it stands.
for (const box of document.querySelectorAll("[data-frames]")) {
  const frames = JSON.parse(document.getElementById(box.dataset.frames).textContent);
  const image = box.querySelector("img");
  const range = box.querySelector("input");
  const told = box.querySelector("output");
  const button = box.querySelector("button");
  let timer = 0;
  const show = (index) => {
    const frame = frames[index];
    range.value = index;
    image.src = frame.src;
    image.alt = frame.alt;
    told.textContent = frame.label;
    range.setAttribute("aria-valuetext", frame.label);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  };
  range.addEventListener("input", () => { stop(); show(Number(range.value)); });
  button.addEventListener("click", () => {
    if (timer) { stop(); return; }
    button.textContent = "Stop";
    let index = Number(range.value) % (frames.length - 1);
    show(index);
    timer = setInterval(() => {
      index += 1;
      show(index);
      if (index >= frames.length - 1) { stop(); }
    }, 400);
  });
  show(frames.length - 1);
  range.disabled = false;
  button.disabled = frames.length < 2;
}
