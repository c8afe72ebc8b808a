// What every view is made of. Text reaches the page as text only: there is no way to markup from here.
import { Fragment, h, render } from "../vendor/preact.js";
import {
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "../vendor/hooks.js";
import htm from "../vendor/htm.js";

export const html = htm.bind(h);
export { Fragment, render, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState };

/** Class names from a list in which falsy ones are left out. */
export const classes = (...names) => names.filter(Boolean).join(" ");
