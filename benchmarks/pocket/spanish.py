"""Spanish phrases of the corpus, with the same tables as the English ones."""

from __future__ import annotations

from words import phrases

PRODUCTS = phrases(
    """una aplicación|una aplicación móvil|una plataforma|un portal|un panel|una herramienta
un sistema|un servicio|un planificador|un registro|un asistente|un catálogo|una tienda en línea
un directorio|un simulador|un mapa|una biblioteca|un gestor de turnos|una cartera digital
una web|un buscador|un calendario|un quiosco digital|un programa|una app|un cuaderno digital"""
)
ACTORS = phrases(
    """los clientes|las enfermeras|los agricultores|los maestros|las familias|los conductores
los gerentes|las voluntarias|los estudiantes|los inquilinos|los técnicos|los compradores
los proveedores|las inspectoras|los pacientes|los socios|los vecinos|los médicos|las dueñas
los analistas|los cocineros|los entrenadores|las bibliotecarias|los investigadores|los visitantes
los operarios|los farmacéuticos|los auditores|los empleados|los pescadores|los jardineros
los mecánicos|las abogadas|los músicos|los ganaderos|los apicultores|los viajeros|los donantes
las panaderas|los electricistas|los tutores|los veterinarios|las personas mayores"""
)
VERBS = phrases(
    """registrar|reservar|pedir|compartir|revisar|aprobar|anotar|comparar|planificar|alquilar
vender|comprar|buscar|escanear|imprimir|pagar|cancelar|vigilar|medir|asignar|subir|descargar
exportar|actualizar|comprobar|confirmar|ordenar|etiquetar|inspeccionar|contar|recoger|devolver
reparar|valorar|archivar|firmar|enviar|recibir|seguir|publicar|traducir|calcular|guardar
gestionar|organizar|verificar|prestar|coordinar|anunciar|preparar|repartir|consultar"""
)
OBJECTS = phrases(
    """los pedidos|las facturas|las reservas|las entradas|las entregas|los repuestos|los turnos
las clases|las recetas|los contratos|las fotos|las lecturas|las muestras|los vehículos|las salas
las herramientas|los pagos|las quejas|los permisos|las rutas|las reparaciones|las citas
las vacunas|las cosechas|los envases|las notas|los certificados|las comidas|las donaciones
los libros|los alquileres|los precios|las existencias|los partes de trabajo|los resultados
las horas de formación|los gastos de viaje|las visitas de mantenimiento|las plazas de aparcamiento
los objetos perdidos|las cuotas|los niveles de agua|la calidad del aire|el consumo de energía
las revisiones de seguridad|los análisis de laboratorio|las ofertas de empleo|los vales de compra"""
)
NOUNS = phrases(
    """pedidos|riego|aceite|vino|queso|pan|lana|madera|vidrio|música|teatro|trenes|autobuses
bicicletas|puertos|puentes|energía|agua|gas|residuos|semillas|miel|pesca|caballos|mascotas|ropa
sangre|medicinas|préstamos|impuestos|cine|deporte|danza|café|flores|piedra|pintura|muebles
zapatos|cámaras|sensores|baterías|redes|nieve|incendios|rescate|formación|turismo|ganado"""
)
ORGS = phrases(
    """las clínicas|las escuelas|las granjas|los hoteles|los restaurantes|los talleres|los museos
las fábricas|los almacenes|los hospitales|los ayuntamientos|las tiendas pequeñas|los clubes
las cooperativas|los puertos|las bodegas|las panaderías|los laboratorios|las obras|las bibliotecas
las farmacias|las lonjas|las guarderías|los teatros|los pueblos|las comunidades de vecinos
las almazaras|los refugios|las asesorías|los mercados|las autoescuelas|las residencias"""
)
EXTRAS = phrases(
    """un modo sin conexión|avisos por mensaje|un informe semanal por correo|fotos de cada paso
recordatorios el día anterior|dos idiomas|mapas de la zona|pago en línea|un calendario común
notas de voz|lectura de códigos de barras|copias de seguridad|estadísticas sencillas
firma digital|comparación de precios|letra grande|alertas cuando se supera un límite
un resumen para imprimir|ayuda por chat|un historial de cambios|acceso para auditores"""
)
PROBLEMS = phrases(
    """hoy todo se guarda en papel|las hojas de cálculo se pierden|las llamadas duran demasiado
nadie sabe quién es responsable|los errores se descubren tarde|la gente espera horas en la cola
el programa antiguo ya no tiene soporte|la información llega tarde|los papeles se pierden"""
)
CONCEPTS = phrases(
    """{Product} para {org} que permita a {actor} {a1} y {a2}.
{Product} con la que {actor} puedan {a1}, {a2} y {a3}.
{Actor} necesitan {product} para {a1} y {a2}, con {extra}.
{Product} de {noun} donde {actor} puedan {a1} mientras {actor2} deben {a2}.
Queremos que {actor} de {org} puedan {a1} sin llamadas y que {actor2} puedan {a2}.
{Actor} quieren {a1} desde el móvil y {actor2} quieren {a2}.
Ayudar a {actor} a {a1} porque {problem}.
{Org} quieren {a1} y {a2}; {problem}.
{Product} para {a1}, {a2} y {a3} en {org}.
Un servicio en línea donde {actor} pueden {a1} y {actor2} pueden {a2} con {extra}.
{Product} de {noun} para {actor}, con {extra} y {extra2}.
{Product} que reúne {o1}, {o2} y {o3} para {actor}.
Sustituir el papel en {org} por {product} que avise a {actor} sobre {o1}.
{Actor} pierden tiempo porque {problem}; {product} les ayudaría a {a1} y {a2}.
{Product} llamada {name} para que {actor} puedan {a1}.
{Actor} necesitan {a1} antes de que {actor2} tengan que {a2}.
{O1} y {o2} para {actor} en {product} de {noun}, con {extra}.
{Actor} y {actor2} comparten {o1}; {product} debe avisar a ambos para {a1}.
Cada mes {actor} tienen que {a1} y {problem}.
{Actor} quieren {a1}, {a2} y {a3}.
{Product} donde {actor} registran {o1}, {o2} y {o3}.
{Actor} de {org} deben {a1} y saber cuándo se pueden {a2}.
{Product} de {noun} para que {actor} intercambien {o1} y avisen de {o2}.
Cuando {actor} van a {a1}, {actor2} deberían poder {a2} en el mismo sitio."""
)

# Lo que puede seguir a un concepto; nombra algo que aún no se ha dicho.
TAILS = phrases(
    """, y {actor2} puedan {a3}.
, mientras {actor2} deben {a3}.
, para que {actor2} puedan {a3}.
, con {o3} y {extra2} en una sola página.
. {Actor2} deberían poder {a3}.
. También debe {a3} y mostrar {o2} a {actor2}.
. Hoy {problem}.
. {Org} quieren ver {o3} cada semana.
. Nadie debería {a2} ni {a3} a mano."""
)
TITLES = phrases(
    """{Product} para {actor}|{Product} de {noun} para {org}|{Product} para {a1}
{O1} y {o2} en {org}|{Product} para {a1} y {a2}|{A1} y {a2}|{O1} para {actor}"""
)
INTRO = phrases(
    """{Product} que permite a {actor} {a1} y {a2}|Ayuda a {actor} a {a1} y {a2}
{Actor} usan {product} para {a1} y {a2}|{Product} para {a1} y {a2} en un solo lugar
Con {product} {actor} pueden {a1} y {a2}|Servicio para {actor} de {org}, que quieren {a1} y {a2}"""
)
MORE = phrases(
    """También ofrece {extra} y guarda {o1} en un solo lugar
{Actor2} ven {o1} en todo momento y {actor} ahorran tiempo
Funciona en {org} y trabaja con {o2} y {extra}|{Actor2} pueden {a3} y se incluye {extra}
Así {actor} dedican menos tiempo y cometen menos errores con {o1}
Sustituye el papel y las llamadas en {org}, ya que {problem}"""
)
SHORT_DESCRIPTIONS = phrases(
    """{Product} para {actor}|Ayuda a {actor} a {a1}|{Product} de {noun}|Sirve para {a1}"""
)
FUNCTIONAL = phrases(
    """El sistema permite a {actor} {a1} en pocos pasos
{Actor} pueden {a1} desde el móvil o el navegador
El sistema muestra a {actor2} {o1} en una sola pantalla|{Actor2} pueden {a2} y añadir una nota breve
El sistema envía un aviso a {actor} cuando cambian {o1}
{Actor} buscan {o1} por fecha, nombre o lugar
{Actor2} pueden {a2} y queda registrado quién y cuándo
El sistema avisa a {actor2} cuando faltan {o2}
El servicio ofrece {extra} para {actor}|{Actor} corrigen o anulan {o1} antes de confirmar
El sistema guarda el historial de {o1} y {o2}|{Actor2} exportan {o1} a una hoja de cálculo
{Actor} adjuntan fotos y comentarios a {o2}|El sistema imprime un resumen de {o1} para {actor2}
{Actor} entran con su propia cuenta y su rol|El sistema comprueba {o1} antes de {a2}
El sistema recuerda a {actor} {o1} un día antes del plazo|{Actor} filtran {o2} por estado y fecha
Un responsable aprueba {o1} antes de {a2}|{Actor} pueden {a3} a cualquier hora del día
El sistema importa {o2} desde un fichero una vez al día
{Actor2} ven un gráfico de {o1} por semana y mes"""
)
QUALITY = phrases(
    """Las pantallas con {o1} se abren en menos de {n} segundos en el {p} por ciento de los casos
El servicio está disponible el {q} por ciento de cada mes|Hasta {k} usuarios trabajan a la vez
Una persona nueva aprende a {a1} en menos de {m} minutos|Los datos de {actor} se guardan cifrados
Funciona en pantallas de {n} pulgadas y con redes lentas|Se hace copia de {o1} cada {h} horas
Los avisos llegan a {actor2} en menos de {m} segundos
Tras un fallo el servicio vuelve en menos de {m} minutos
El sistema procesa {k} operaciones con {o1} por día sin retrasos|Solo {actor2} autorizados ven {o2}
La búsqueda de {o2} responde en menos de {n} segundos|Las pantallas cumplen WCAG 2.1 nivel AA"""
)
LIMITS = phrases(
    """El presupuesto del primer año es de {k} mil euros
La primera versión debe estar lista en {m} semanas
Debe funcionar en los móviles que ya tienen {actor}
Los datos de {actor} no pueden salir de la Unión Europea
La base de datos actual de {org} no se puede cambiar|El equipo tiene {n} personas y una diseñadora
{Actor} reciben como máximo {n} horas de formación|La ley obliga a guardar {o1} durante {n} años
No se comprará equipo nuevo para {org}|Debe integrarse con el programa de contabilidad actual
La prueba empieza en {n} centros|{Actor2} deben aprobar los textos antes de publicarlos
La conexión en {org} es limitada|Se aplican las normas de protección de datos a {o2}"""
)
PRIORITIES = ("High", "Medium", "Low")
DEFAULTS = {
    "verb": ["gestionar", "ver", "consultar", "registrar"],
    "actor": ["los usuarios", "las personas usuarias", "los responsables"],
    "product": ["un servicio", "un sistema", "una herramienta", "una aplicación"],
}
