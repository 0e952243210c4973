"""Pictures of many kinds, and copies of them: for the tests and the benchmark."""

import cv2
import numpy as np

from conftest import encode

# ------------------------------------------------------------------------------------------------
# Drawn pictures, at any size: a family is a function (random numbers, across, down) -> levels
# ------------------------------------------------------------------------------------------------


def two_levels(rng):
    low = rng.uniform(0, 110)
    return low, low + rng.uniform(60, 140)


def darker(rng, low, high):
    return low + rng.uniform(0, 0.6) * (high - low)


def gradient(rng, x, y):
    angle, (low, high) = rng.uniform(0, 2 * np.pi), two_levels(rng)
    slope = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)
    return low + (high - low) * (slope + 0.7) / 1.4


def glow(rng, x, y):
    low, high = two_levels(rng)
    distance = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8))
    return low + (high - low) * np.exp(-((distance / rng.uniform(0.2, 0.6)) ** 2))


def discs(rng, x, y):
    low, high = two_levels(rng)
    level = np.full_like(x, high)
    for _ in range(rng.integers(1, 5)):
        radius = rng.uniform(0.08, 0.3)
        inside = np.hypot((x - rng.uniform(0, 1)) * 4 / 3, y - rng.uniform(0, 1)) < radius
        level = np.where(inside, darker(rng, low, high), level)
    return level


def boxes(rng, x, y):
    low, high = two_levels(rng)
    level = np.full_like(x, high)
    for _ in range(rng.integers(1, 6)):
        left, top = rng.uniform(0, 0.8, 2)
        wide, tall = rng.uniform(0.1, 0.4, 2)
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + tall)
        level = np.where(inside, darker(rng, low, high), level)
    return level


def checkers(rng, x, y):
    low, high = two_levels(rng)
    fields = np.floor(x * rng.integers(2, 9)) + np.floor(y * rng.integers(2, 9))
    return np.where(fields % 2, low, high)


def sines(rng, x, y):
    level = np.full_like(x, 128)
    for _ in range(3):
        across, down = rng.uniform(-4, 4, 2)
        wave = np.sin(2 * np.pi * (across * x + down * y) + rng.uniform(0, 6))
        level += wave * rng.uniform(10, 40)
    return level


def skyline(rng, x, y):
    low, high = two_levels(rng)
    level = high + 30 * (1 - y)
    edges = np.sort(rng.uniform(0, 1, rng.integers(4, 9)))
    roofs = rng.uniform(0.3, 0.9, len(edges) + 1)
    place = np.searchsorted(edges, x)
    return np.where(y > roofs[place], low + 4 * place, level)


def stripes(rng, x, y):
    low, high = two_levels(rng)
    angle = rng.uniform(0, np.pi)
    along = (np.cos(angle) * x + np.sin(angle) * y) * rng.uniform(2, 7) + rng.uniform(0, 1)
    return np.where(along % 1 < rng.uniform(0.3, 0.7), low, high)


def rings(rng, x, y):
    low, high = two_levels(rng)
    distance = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8))
    return low + (high - low) * (0.5 + 0.5 * np.cos(2 * np.pi * distance * rng.uniform(2, 5)))


def triangles(rng, x, y):
    low, high = two_levels(rng)
    level = np.full_like(x, high)
    for _ in range(rng.integers(1, 4)):
        (ax, ay), (bx, by), (cx, cy) = rng.uniform(0, 1, (3, 2))
        sides = [
            (bx - ax) * (y - ay) - (by - ay) * (x - ax),
            (cx - bx) * (y - by) - (cy - by) * (x - bx),
            (ax - cx) * (y - cy) - (ay - cy) * (x - cx),
        ]
        inside = np.all([side > 0 for side in sides], 0) | np.all([side < 0 for side in sides], 0)
        level = np.where(inside, darker(rng, low, high), level)
    return level


def bars(rng, x, y):
    heights = rng.uniform(0.1, 0.9, rng.integers(3, 10))
    low, high = two_levels(rng)
    column = np.minimum((x * len(heights)).astype(int), len(heights) - 1)
    gap = (x * len(heights)) % 1 < 0.2
    return np.where((1 - y < heights[column]) & ~gap, low, high)


def horizon(rng, x, y):
    low, high = two_levels(rng)
    line = rng.uniform(0.3, 0.7) + rng.uniform(-0.2, 0.2) * x
    sky = high - 40 * rng.uniform(0, 1) * (1 - y)
    return np.where(y > line, low + 30 * rng.uniform(0, 1) * y, sky)


def moon(rng, x, y):
    level = gradient(rng, x, y) / 2 + 20
    radius = rng.uniform(0.04, 0.12)
    inside = np.hypot((x - rng.uniform(0.1, 0.9)) * 4 / 3, y - rng.uniform(0.1, 0.9)) < radius
    return np.where(inside, level + rng.uniform(60, 120), level)


def cloud(rng, x, y):
    level = np.full_like(x, rng.uniform(100, 180))
    for _ in range(6):
        away = np.hypot((x - rng.uniform(0, 1)) / rng.uniform(0.1, 0.4), y - rng.uniform(0, 1))
        level += rng.uniform(-50, 50) * np.exp(-((away / 0.4) ** 2))
    return level


def cross(rng, x, y):
    low, high = two_levels(rng)
    wide, tall = rng.uniform(0.03, 0.2, 2)
    inside = (abs(x - rng.uniform(0.2, 0.8)) < wide) | (abs(y - rng.uniform(0.2, 0.8)) < tall)
    return np.where(inside, low, high)


def steps(rng, x, y):
    low, high = two_levels(rng)
    angle, count = rng.uniform(0, 2 * np.pi), rng.integers(3, 12)
    along = (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) / 1.4 + 0.5
    return low + (high - low) * np.floor(along * count) / count


FAMILIES = [
    gradient, glow, discs, boxes, checkers, sines, skyline, stripes, rings, triangles, bars,
    horizon, moon, cloud, cross, steps,
]  # fmt: skip


def drawn(family, seed, width=640, height=480):
    """The picture of a family and a seed at a size, greyscale uint8 (height, width)."""
    rng = np.random.default_rng([FAMILIES.index(family), seed])
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.clip(np.round(family(rng, x, y)), 0, 255).astype(np.uint8)


def drawn_copies(family, seed):
    """Yield (kind, file's bytes) for eight copies of a drawn picture."""
    image = drawn(family, seed)
    yield "same", encode(image, ".png")
    yield "half", encode(resized(image, 320, 240), ".png")
    yield "double", encode(resized(image, 1280, 960, cv2.INTER_LINEAR), ".png")
    yield "drawn half as large", encode(drawn(family, seed, 320, 240), ".png")
    yield "JPEG quality 90", encode(image, quality=90)
    yield "JPEG quality 60", encode(image, quality=60)
    yield "5 levels brighter", encode(cv2.convertScaleAbs(image, beta=5), ".png")
    yield "half, JPEG quality 75", encode(resized(image, 320, 240), quality=75)


# ------------------------------------------------------------------------------------------------
# Papers: many of one layout
# ------------------------------------------------------------------------------------------------

WORDS = ["north", "mill", "river", "paper", "light", "green", "seven", "garden", "house", "winter"]


def write(page, text, place, size=1.0, thick=2):
    cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 0, thick, cv2.LINE_AA)


def form(seed):
    """A printed form, filled in by hand: greyscale uint8 (1754, 1240)."""
    rng = np.random.default_rng([100, seed])
    page = np.full((1754, 1240), 252, np.uint8)
    write(page, "APPLICATION FOR MEMBERSHIP", (170, 140), 1.6, 4)
    fields = ("Name", "Street", "Town", "Born", "Telephone", "Mail", "Sport", "Since", "Remarks")
    for row, label in enumerate(fields):
        top = 220 + row * 130
        write(page, label, (100, top + 70), 0.9)
        cv2.rectangle(page, (360, top), (1140, top + 95), 120, 3)
        text = " ".join(rng.choice(WORDS, rng.integers(1, 4)))
        cv2.putText(page, text[:26], (380, top + 65), cv2.FONT_HERSHEY_SCRIPT_COMPLEX, 1.3, 60, 3)
    write(page, "Signature", (100, 1560), 0.9)
    scrawl = np.array([380, 1560]) + np.cumsum(rng.normal([16, 0], [8, 22], (22, 2)), 0)
    cv2.polylines(page, [scrawl.astype(np.int32)], False, 40, 4, cv2.LINE_AA)
    return page


def statement(seed):
    """A bank statement, a page of figures: greyscale uint8 (1754, 1240)."""
    rng = np.random.default_rng([101, seed])
    page = np.full((1754, 1240), 250, np.uint8)
    write(page, "SAVINGS BANK", (100, 140), 1.8, 5)
    write(page, f"Account 4711 0815   sheet {seed + 1}", (100, 210), 0.9)
    cv2.rectangle(page, (90, 260), (1150, 320), 200, -1)
    for text, left in (("Date", 100), ("Text", 300), ("Amount", 980)):
        write(page, text, (left, 302), 0.9)
    for row in range(28):
        base = 370 + row * 44
        write(page, f"{rng.integers(1, 29):02}.{rng.integers(1, 13):02}.", (100, base), 0.8)
        write(page, " ".join(rng.choice(WORDS, rng.integers(1, 5))), (300, base), 0.8)
        write(page, f"{rng.uniform(1, 900):8.2f}", (980, base), 0.8)
    write(page, f"Balance {rng.uniform(10, 9000):.2f}", (800, 1670), 1.0, 3)
    return page


# ------------------------------------------------------------------------------------------------
# Screenshots of a phone: of a few apps, in several languages; one layout, other words
# ------------------------------------------------------------------------------------------------

LANGUAGES = {
    language: terms.split()
    for language, terms in {
        "English": """settings network sound display battery storage privacy account language help
            cancel save today tomorrow week month messages search new photos call later yes no""",
        "German": """Einstellungen Netzwerk Ton Anzeige Akku Speicher Datenschutz Konto Sprache
            Hilfe Abbrechen Sichern heute morgen Woche Monat Nachrichten suchen neu Fotos Anruf
            danach ja nein""",
        "French": """reglages reseau son ecran batterie stockage confidentialite compte langue aide
            annuler garder aujourd'hui demain semaine mois messages chercher nouveau photos appel
            ensuite oui non""",
        "Spanish": """ajustes red sonido pantalla bateria memoria privacidad cuenta idioma ayuda
            cancelar guardar hoy ayer semana mes mensajes buscar nuevo fotos llamada luego si no""",
        "Italian": """impostazioni rete suono schermo batteria archivio riservatezza conto lingua
            aiuto annulla salva oggi domani settimana mese messaggi cerca nuovo foto chiamata poi si
            no""",
        "Dutch": """instellingen netwerk geluid scherm accu opslag beveiliging rekening taal hulp
            annuleren bewaren vandaag morgen week maand berichten zoeken nieuw beelden bellen straks
            ja nee""",
        "Polish": """ustawienia siec dzwiek ekran bateria pamiec prywatnosc konto jezyk pomoc anuluj
            zapisz dzisiaj jutro tydzien miesiac wiadomosci szukaj nowe zdjecia telefon potem tak
            nie""",
        "Finnish": """asetukset verkko ohjelma kuvaruutu akku tallennus yksityisyys tili kieli apua
            peruuta talleta huomenna sitten viikko kuukausi viestit etsi uusi kuvat puhelu pian joo
            ei""",
    }.items()
}
NAMES = "Anna Ben Carla David Emma Felix Greta Hugo".split()
INK, PALE, PAPER = (40, 36, 33), (130, 125, 120), (250, 250, 250)  # blue, green, red
HUES = [
    (200, 110, 40),
    (90, 140, 60),
    (60, 90, 190),
    (150, 80, 130),
    (160, 150, 50),
    (40, 140, 190),
]


class Screen:
    """A phone's screen of 720 x 1520 in the making; the words of a language by their number."""

    def __init__(self, language, rng, hue, paper=PAPER):
        self.words, self.rng, self.hue = LANGUAGES[language], rng, hue
        self.image = np.full((1520, 720, 3), paper, np.uint8)
        self.say("10:24", (40, 38), 0.7)
        self.box((630, 16), (680, 40), PALE)

    def say(self, text, place, size=0.9, colour=INK, thick=2):
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(self.image, text, place, font, size, colour, thick, cv2.LINE_AA)

    def box(self, start, end, colour, thick=-1):
        cv2.rectangle(self.image, start, end, colour, thick)

    def disc(self, place, radius, colour):
        cv2.circle(self.image, place, radius, colour, -1, cv2.LINE_AA)

    def phrase(self, count):
        return " ".join(self.words[number] for number in self.rng.integers(0, 24, count))

    def heading(self, text):
        self.box((0, 60), (720, 170), self.hue)
        self.say(text.capitalize(), (40, 132), 1.5, (255, 255, 255), 3)


def settings_app(screen):
    screen.heading(screen.words[0])
    for row, number in enumerate(screen.rng.permutation(np.arange(1, 10))):
        base = 260 + 140 * row
        screen.disc((70, base), 32, HUES[row % 6])
        screen.say(screen.words[number].capitalize(), (130, base - 4), 1.1)
        screen.say(screen.phrase(2), (130, base + 36), 0.75, PALE)
        side = int(screen.rng.integers(2))
        screen.box((600, base - 16), (670, base + 16), screen.hue if side else (210, 210, 210))
        screen.disc((618 + 34 * side, base), 12, (255, 255, 255))


def inbox_app(screen):
    screen.heading(screen.words[16])
    for row, name in enumerate(screen.rng.permutation(NAMES)):
        base = 260 + 150 * row
        screen.disc((80, base), 46, HUES[NAMES.index(name) % 6])
        screen.say(name[0], (66, base + 16), 1.4, (255, 255, 255), 3)
        screen.say(name, (160, base - 10), 1.1)
        screen.say(screen.phrase(3)[:30], (160, base + 34), 0.8, PALE)
        screen.say(f"{screen.rng.integers(1, 24)}:{screen.rng.integers(10, 60)}", (600, base), 0.7)


def chat_app(screen):
    screen.heading("Anna")
    for row in range(8):
        top, left = 220 + 135 * row, 40 if row % 2 else 180
        screen.box((left, top), (left + 500, top + 105), (225, 215, 205) if row % 2 else (235,) * 3)
        for line in (45, 88):
            screen.say(screen.phrase(3)[:26], (left + 22, top + line), 0.9)
    screen.box((30, 1400), (690, 1480), PALE, 3)
    screen.say(screen.phrase(1), (60, 1452), 0.9, PALE)


def reminders_app(screen):
    screen.heading(screen.words[12])
    for row in range(4):
        top = 210 + 310 * row
        screen.box((30, top), (690, top + 270), (225, 232, 238))
        screen.say(f"{screen.rng.integers(7, 22)}:00", (60, top + 75), 1.5, screen.hue, 4)
        screen.say(screen.phrase(2), (60, top + 140), 1.0)
        for left, number in ((60, 10), (380, 11)):
            screen.box((left, top + 175), (left + 280, top + 245), screen.hue)
            text = screen.words[number].capitalize()
            screen.say(text, (left + 30, top + 222), 0.9, (255, 255, 255))


def calendar_app(screen):
    screen.heading(screen.words[15])
    first = int(screen.rng.integers(7))
    for column in range(7):
        screen.say(screen.words[12 + column][:2], (40 + 96 * column, 230), 0.9, PALE)
    for day in range(30):
        row, column = divmod(day + first, 7)
        screen.say(str(day + 1), (40 + 96 * column, 310 + 84 * row), 0.9)
    for row in range(5):
        top = 850 + 125 * row
        screen.box((30, top), (42, top + 90), HUES[row])
        screen.say(screen.phrase(2), (70, top + 40), 1.0)
        screen.say(f"{screen.rng.integers(8, 20)}:30", (70, top + 82), 0.8, PALE)


def dialog_app(screen):
    settings_app(screen)
    screen.image //= 2
    screen.box((70, 480), (650, 960), (252, 252, 252))
    screen.say(screen.phrase(1).capitalize() + "?", (110, 570), 1.4, INK, 3)
    for line in range(4):
        screen.say(screen.phrase(3)[:28], (110, 650 + 55 * line), 0.9, PALE)
    for left, number in ((110, 23), (450, 22)):
        screen.say(screen.words[number].upper(), (left, 920), 1.1, screen.hue, 3)


APPS = [settings_app, inbox_app, chat_app, reminders_app, calendar_app, dialog_app]


def screenshot(app, language, seed=0):
    """A phone's screen, BGR uint8 (1520, 720): another language only has other words.

    Another seed has other contents, in the same layout.
    """
    number = APPS.index(app)
    screen = Screen(language, np.random.default_rng([200, number, seed]), HUES[number])
    app(screen)
    return screen.image


def screen_copies(image):
    """Yield four kinds of copy of a screenshot."""
    high, wide = image.shape[:2]
    yield "half size, PNG", encode(resized(image, wide // 2, high // 2), ".png")
    yield "JPEG quality 60", encode(image, quality=60)
    yield "540 pixels wide, JPEG", encode(resized(image, 540, round(high * 540 / wide)), quality=75)
    yield next(edits(image))


# ------------------------------------------------------------------------------------------------
# Papers, screens and panoramas that differ in little: of one template, long, pale or dim
# ------------------------------------------------------------------------------------------------


def digits(rng, count):
    return "".join(map(str, rng.integers(0, 10, count)))


def amount(rng):
    return f"{rng.integers(1, 2000)}.{rng.integers(0, 100):02}"


def invoice(template, seed, month=1, scale=1):
    """An invoice: greyscale uint8 (1754, 1240) of 150 dpi, or scale times as large.

    Another seed has another number, date and amounts; another month two other digits.
    """
    fixed, rng = (np.random.default_rng([300, *each]) for each in ((template,), (template, seed)))
    page = np.full((1754 * scale, 1240 * scale), 252, np.uint8)

    def put(text, left, base, size=0.8, thick=2):
        write(page, text, (left * scale, base * scale), size * scale, thick * scale)

    put(f"{fixed.choice(WORDS)} & {fixed.choice(WORDS)} Ltd".title(), 100, 150, 1.8, 4)
    put(" ".join(fixed.choice(WORDS, 5)), 100, 210, 0.6, 1)
    put(f"Invoice {digits(rng, 6)}", 100, 420, 1.2, 3)
    put(f"{rng.integers(10, 29)}.{month:02}.2024", 900, 420)
    rows = int(fixed.integers(5, 10))
    for row in range(rows):
        put(f"{row + 1}  {' '.join(fixed.choice(WORDS, 3))}", 100, 560 + row * 60)
        put(amount(rng), 980, 560 + row * 60)
    put(f"Total  {amount(rng)}", 850, 620 + rows * 60, 1.0, 3)
    put(" ".join(fixed.choice(WORDS, 9)), 100, 1660, 0.5, 1)
    return page


def spreadsheet(seed, rows=26, columns=17):
    """A screenshot of a spreadsheet of 442 numbers: greyscale uint8 (1080, 1920)."""
    rng = np.random.default_rng([301, seed])
    screen = np.full((1080, 1920), 255, np.uint8)
    screen[:110] = 70
    for row in range(rows + 1):
        base = 150 + row * 34
        cv2.line(screen, (0, base + 10), (1919, base + 10), 215, 1)
        for column in range(columns):
            text = f"{chr(65 + column)}" if not row else amount(rng)
            write(screen, text, (60 + column * 108, base), 0.5, 1)
    for column in range(columns + 1):
        cv2.line(screen, (50 + column * 108, 110), (50 + column * 108, 1079), 215, 1)
    return screen


def ledger(seed, rows=45):
    """A printed table of up to 60 rows and five columns: greyscale uint8 (1754, 1240)."""
    rng = np.random.default_rng([302, seed])
    page = np.full((1754, 1240), 250, np.uint8)
    write(page, "Readings of the meters", (100, 110), 1.3, 3)
    step = 1540 / rows
    for row in range(rows):
        base = round(180 + row * step)
        write(page, f"{row + 1:02}", (100, base), 0.6, 1)
        for column in range(5):
            write(page, digits(rng, 6), (240 + column * 190, base), step / 48, 1)
        cv2.line(page, (90, base + 7), (1150, base + 7), 200, 1)
    return page


def receipt(seed, lines=180):
    """A long till receipt: greyscale uint8 (32 a line and 200, 600)."""
    fixed, rng = np.random.default_rng(303), np.random.default_rng([303, seed])
    strip = np.full((200 + 32 * lines, 600), 245, np.uint8)
    write(strip, "CORNER SHOP", (150, 90), 1.4, 4)
    for line in range(lines):
        write(strip, " ".join(fixed.choice(WORDS, 2)), (30, 180 + line * 32), 0.7, 1)
        write(strip, f"{amount(rng):>8}", (430, 180 + line * 32), 0.7, 1)
    return strip


def long_chat(seed, count=60):
    """A chat that was scrolled while it was photographed: BGR uint8 (135 a message, 720, 3)."""
    rng = np.random.default_rng([304, seed])
    image = np.full((135 * count, 720, 3), PAPER, np.uint8)
    for row in range(count):
        top, left = 135 * row + 15, 40 if row % 2 else 180
        colour = (225, 215, 205) if row % 2 else (235,) * 3
        cv2.rectangle(image, (left, top), (left + 500, top + 105), colour, -1)
        for line in (45, 88):
            text = " ".join(rng.choice(LANGUAGES["English"], 3))[:26]
            place = left + 22, top + line
            cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, INK, 2, cv2.LINE_AA)
    return image


def panorama(seed, width=20000, height=500):
    """Hills, and before them walkers, who are others with every seed: BGR uint8."""
    fixed, rng = np.random.default_rng(305), np.random.default_rng([305, seed])
    heights = fixed.uniform(0.3, 0.6, width // 500 + 1)
    edge = np.interp(np.arange(width), np.linspace(0, width, len(heights)), heights) * height
    down = np.arange(height)[:, None]
    level = np.where(down < edge, 230 - 60 * down / height, 60 + 80 * down / height)
    image = clipped(level[..., None] * [1.0, 0.95, 0.85])
    grain = fixed.integers(0, 25, (height, width, 1)).astype(np.uint8)
    image = cv2.GaussianBlur(cv2.add(image, np.repeat(grain, 3, 2)), (0, 0), 1)
    for _ in range(60):
        left, top = int(rng.integers(0, width - 40)), int(rng.integers(height // 2, height - 70))
        colour = rng.integers(0, 256, 3).tolist()
        cv2.ellipse(image, (left + 12, top + 35), (12, 28), 0, 0, 360, colour, -1, cv2.LINE_AA)
        cv2.circle(image, (left + 12, top), 9, (120, 150, 190), -1, cv2.LINE_AA)
    return image


def letter(seed):
    """Pale writing beside a dark letterhead: greyscale uint8 (1754, 1240)."""
    rng = np.random.default_rng([306, seed])
    page = np.full((1754, 1240), 250, np.uint8)
    page[:, :330] = 35
    cv2.putText(page, "MILL", (40, 200), cv2.FONT_HERSHEY_SIMPLEX, 3, 235, 9, cv2.LINE_AA)
    for row in range(26):
        text = " ".join(rng.choice(WORDS, 6))[:34]
        cv2.putText(page, text, (380, 260 + row * 52), cv2.FONT_HERSHEY_SCRIPT_COMPLEX, 1.1, 190, 2)
    return page


def dimmed(image, times):
    """A picture at dusk: its levels divided by 2, 4 or 8."""
    return cv2.convertScaleAbs(image, alpha=1 / times)


def cut_out(image, seed):
    """A BGR picture, all but a rounded part of it transparent: BGRA."""
    rng, (high, wide) = np.random.default_rng([307, seed]), image.shape[:2]
    outline = np.zeros((high, wide), np.uint8)
    for _ in range(3):
        place = int(rng.uniform(0.25, 0.75) * wide), int(rng.uniform(0.25, 0.75) * high)
        size = int(rng.uniform(0.1, 0.3) * wide), int(rng.uniform(0.1, 0.3) * high)
        cv2.ellipse(outline, place, size, 0, 0, 360, 255, -1, cv2.LINE_AA)
    return np.dstack([image, outline])


def paper_copies(image):
    """Yield six kinds of copy of a paper, a screen or a panorama."""
    high, wide = image.shape[:2]
    scale = min(1, 1600 / max(high, wide))
    yield "JPEG quality 60", encode(image, quality=60)
    yield "JPEG quality 30", encode(image, quality=30)
    yield "half size", encode(resized(image, wide // 2, high // 2))
    small = resized(image, max(1, round(wide * scale)), max(1, round(high * scale)))
    yield "a messenger's copy", encode(small, quality=75)
    yield "15 levels brighter", encode(cv2.convertScaleAbs(image, beta=15))
    yield "contrast 0.85", encode(clipped(image * 0.85 + 128 * 0.15))


# ------------------------------------------------------------------------------------------------
# Photographs' copies and edits: (kind, file's bytes) of a BGR image
# ------------------------------------------------------------------------------------------------


def resized(image, width, height, interpolation=cv2.INTER_AREA):
    return cv2.resize(image, (width, height), interpolation=interpolation)


def clipped(levels):
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


def copies(image):
    """Yield 15 kinds of copy."""
    high, wide = image.shape[:2]

    def shrunk(width, height, interpolation=cv2.INTER_AREA):
        return encode(resized(image, width, height, interpolation))

    for quality in (90, 75, 50, 20):
        yield f"JPEG quality {quality}", encode(image, quality=quality)
    yield "PNG", encode(image, ".png")
    yield "half width", shrunk(wide // 2, high // 2)
    yield "quarter width", shrunk(wide // 4, high // 4)
    yield "640 pixels wide", shrunk(640, round(high * 640 / wide))
    yield "160 pixels wide", shrunk(160, round(high * 160 / wide))
    yield "half width, bicubic", shrunk(wide // 2, high // 2, cv2.INTER_CUBIC)
    yield "20 levels brighter", encode(cv2.convertScaleAbs(image, beta=20))
    yield "contrast 1.2", encode(np.clip((image - 128.0) * 1.2 + 128, 0, 255).astype(np.uint8))
    curve = np.round(255 * (np.arange(256) / 255) ** (1 / 1.3)).astype(np.uint8)
    yield "gamma 1.3", encode(cv2.LUT(image, curve))
    yield "grey", encode(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    yield "another aspect ratio", shrunk(wide, round(high * 0.8))


def edits(image):
    """Yield 18 kinds of edit; of the last eight none is promised to be found."""
    high, wide = image.shape[:2]
    rng = np.random.default_rng(0)
    scale = min(1, 1600 / max(high, wide)) * 0.8
    small = (round(wide * scale), round(high * scale))
    careless = cv2.resize(image, small, interpolation=cv2.INTER_LINEAR)
    yield "a messenger's copy", encode(careless, quality=60)
    yield "grain", encode(clipped(image + rng.normal(0, 12, image.shape[:2])[..., None]))
    yield "warmer", encode(clipped(image * np.array([0.85, 1.0, 1.12])))
    blurred = cv2.GaussianBlur(image, (0, 0), 2)
    yield "sharpened", encode(cv2.addWeighted(image, 1.8, blurred, -0.8, 0))
    mix = np.array([[0.131, 0.534, 0.272], [0.168, 0.686, 0.349], [0.189, 0.769, 0.393]])
    yield "sepia", encode(clipped(image @ mix.T))
    stamped = image.copy()
    place, size = (int(wide * 0.72), int(high * 0.95)), high / 600
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, high // 250)
    cv2.putText(stamped, "24.12.2014", place, font, size, (40, 140, 250), thick)
    yield "date stamp", encode(stamped)
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(float)
    hsv[..., 1] *= 1.5
    yield "more saturated", encode(cv2.cvtColor(clipped(hsv), cv2.COLOR_HSV2BGR))
    yield "blurred", encode(cv2.GaussianBlur(image, (0, 0), high / 300))
    bright = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
    bright[..., 0] = cv2.createCLAHE(2.0, (4, 4)).apply(bright[..., 0])
    yield "local contrast", encode(cv2.cvtColor(bright, cv2.COLOR_LAB2BGR))
    for share in (0.01, 0.02, 0.04, 0.05):
        down, across = round(high * share), round(wide * share)
        cropped = image[down : high - down, across : wide - across]
        yield f"{share * 100:.0f} % cropped on each side", encode(cropped)
    edge = high // 25
    yield "framed", encode(cv2.copyMakeBorder(image, *[edge] * 4, cv2.BORDER_CONSTANT))
    turn = cv2.getRotationMatrix2D((wide / 2, high / 2), 1.5, 1.06)
    yield "straightened", encode(cv2.warpAffine(image, turn, (wide, high)))
    yield "mirrored", encode(image[:, ::-1].copy())
    down, across = np.ogrid[-1 : 1 : high * 1j, -1 : 1 : wide * 1j]
    light = 1 - (across**2 + down**2) / 4  # half of it in the corners
    yield "vignette", encode(clipped(image * light[..., None]))
    longer = max(high, wide)
    camera = np.array([[longer, 0, wide / 2], [0, longer, high / 2], [0, 0, 1.0]])
    yield "lens profile", encode(cv2.undistort(image, camera, np.array([-0.03, 0, 0, 0])))
